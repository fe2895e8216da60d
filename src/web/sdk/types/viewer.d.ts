import { Session } from './session.js';
export type ViewerOwnOptions = {
    /**
     * true
     */
    audio?: boolean;
    /**
     * true
     */
    video?: boolean;
    /**
     * the publisher's data channels are wanted: events `channel`, `message`. without, they are where a listener for one of these was added before `attach()`
     */
    data?: boolean;
    /**
     * true: no more lines are asked for than the element shows, rounded up to what there is
     */
    fitToElement?: boolean;
    /**
     * the least the browser holds frames back; the browser's choice. More is smoother, less is sooner
     */
    jitterBufferMs?: number;
};
export type ViewerOptions = import('./session.js').SessionOptions & ViewerOwnOptions;
export type ViewerOwnEvents = {
    /**
     * pictures or sound arrive
     */
    live: Record<string, never>;
    /**
     * none arrive: nobody publishes
     */
    idle: Record<string, never>;
    /**
     * shown so long after the connection was begun; `waited`: for a publisher, too
     */
    firstframe: {
        afterMs: number;
        waited: boolean;
    };
    /**
     * what there is of the picture, or which of it is played, has changed
     */
    layers: import('./layers.js').Layers;
    /**
     * the publisher has a data channel
     */
    channel: {
        label: string;
        protocol: string;
    };
    /**
     * a message of the publisher's came
     */
    message: {
        label: string;
        data: string | ArrayBuffer;
    };
    /**
     * a data channel was closed; messages may be missing where it is opened again
     */
    channelclosed: {
        label: string;
    };
    /**
     * the browser allows no sound (`playing`: the picture plays without) or nothing before the person touches the page: call `unmute()` or `play()` from a click
     */
    playblocked: {
        playing: boolean;
    };
};
export type ViewerEvents = import('./session.js').SessionEvents & ViewerOwnEvents;
/**
 * @typedef {object} ViewerOwnOptions
 * @property {boolean} [audio] true
 * @property {boolean} [video] true
 * @property {boolean} [data] the publisher's data channels are wanted: events `channel`, `message`. without, they are where a listener for one of these was added before `attach()`
 * @property {boolean} [fitToElement] true: no more lines are asked for than the element shows, rounded up to what there is
 * @property {number} [jitterBufferMs] the least the browser holds frames back; the browser's choice. More is smoother, less is sooner
 *
 * @typedef {import('./session.js').SessionOptions & ViewerOwnOptions} ViewerOptions
 *
 * @typedef {object} ViewerOwnEvents
 * @property {Record<string, never>} live pictures or sound arrive
 * @property {Record<string, never>} idle none arrive: nobody publishes
 * @property {{ afterMs: number, waited: boolean }} firstframe shown so long after the connection was begun; `waited`: for a publisher, too
 * @property {import('./layers.js').Layers} layers what there is of the picture, or which of it is played, has changed
 * @property {{ label: string, protocol: string }} channel the publisher has a data channel
 * @property {{ label: string, data: string | ArrayBuffer }} message a message of the publisher's came
 * @property {{ label: string }} channelclosed a data channel was closed; messages may be missing where it is opened again
 * @property {{ playing: boolean }} playblocked the browser allows no sound (`playing`: the picture plays without) or nothing before the person touches the page: call `unmute()` or `play()` from a click
 *
 * @typedef {import('./session.js').SessionEvents & ViewerOwnEvents} ViewerEvents
 */
/** @extends {Session<ViewerEvents>} */
export declare class Viewer extends Session<ViewerEvents> {
    #private;
    /** @param {ViewerOptions} options */
    constructor(options: ViewerOptions);
    /** @override @param {string} name @param {EventListenerOrEventListenerObject | null} listener @param {boolean | AddEventListenerOptions} [options] */
    addEventListener(name: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
    /** Whether pictures or sound arrive. */
    get live(): boolean;
    /** The time from the start of the connection to its first picture; undefined before that. */
    get firstFrameMs(): number | undefined;
    /**
     * Plays in this element. Resolves when the node is connected, whether somebody publishes or not. After that it reconnects
     * by itself (events `reconnecting`, `connected`) until `close()` or an `error`.
     *
     * @param {HTMLVideoElement} video
     * @returns {Promise<void>}
     */
    attach(video: HTMLVideoElement): Promise<void>;
    /** Plays what was blocked, as far as the browser now allows. */
    play(): Promise<void>;
    /** What there is of the picture, which of it is played, and why. */
    get layers(): import("./layers.js").Layers;
    /**
     * Chooses: `'auto'` (the best that the network carries and the element shows), `{ height: 720 }` (no more lines than that),
     * `{ rid: 'h' }` (that encoding), or `'sound'` (no picture). It holds until another is chosen, also over new connections.
     * Rejects where the node refuses, as for a `rid` that the publisher does not have; then what was chosen before stays.
     *
     * @param {import('./layers.js').LayerChoice} choice
     */
    setLayer(choice: import('./layers.js').LayerChoice): Promise<void>;
    /** @protected @override @param {import('./transport.js').Accepted} accepted */
    protected onAccepted(accepted: import('./transport.js').Accepted): void;
    /** @protected @override @param {boolean} up */
    protected onSignalling(up: boolean): void;
    /** @protected @override @param {Record<string, any>} layers */
    protected onLayers(layers: Record<string, any>): void;
    /** Turns the sound on. Call it from a click, because browsers allow it only there. */
    unmute(): Promise<void>;
    /** Turns the sound off. */
    mute(): void;
    /** Whether the browser has blocked the sound. */
    get soundBlocked(): boolean;
    /**
     * Says something to the publisher on one of its data channels: text, or bytes of at most 1,024; 4 messages a second. A node
     * lets only those through whose token has `messages`, and promises nobody that it arrives.
     *
     * @param {string} label
     * @param {string | ArrayBuffer} message
     * @returns {boolean} whether it was sent: there is such a channel now
     */
    send(label: string, message: string | ArrayBuffer): boolean;
    /** @protected @override @param {string} sdp */
    protected adjustOffer(sdp: string): string;
    /** @protected @override @param {RTCPeerConnection} pc */
    protected prepareSecond(pc: RTCPeerConnection): {
        begin: () => Promise<void>;
        finish: () => Promise<void> | undefined;
        cancel: () => void | undefined;
    };
    /** @protected @override @param {RTCPeerConnection} pc */
    protected prepare(pc: RTCPeerConnection): void;
    /** @protected @override @param {boolean} live */
    protected onLive(live: boolean): void;
    /** @protected @override @param {import('./stats.js').Stats} stats */
    protected onStats(stats: import('./stats.js').Stats): void;
    /** @protected @override */
    protected onEnd(): void;
}
