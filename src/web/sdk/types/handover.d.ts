export declare class Handover {
    #private;
    /** @param {HTMLVideoElement} video the page's @param {MediaStream} media the new stream */
    constructor(video: HTMLVideoElement, media: MediaStream);
    /** Plays the new stream beside the old one. Resolves when it can be heard and seen, in the page's element or over it. */
    begin(): Promise<void>;
    /** Gives the page's element the new stream, and takes the SDK's own away when that plays. */
    finish(): Promise<void>;
    /** The new stream is given up: the old one is seen and heard as before. */
    cancel(): void;
}
