import { Channel } from './channel.js';
import { Session } from './session.js';
export type PublisherOwnOptions = {
    /**
     * the video codec, as `H264`, `VP8`, `VP9`, `AV1`, where the browser has it; without, the node chooses, H.264 being offered first
     */
    codec?: string;
    /**
     * a second codec in which the same picture is sent as well, in one size, for viewers that cannot decode the first; it takes `maxBitrate` once more. Left out where the browser does not have it
     */
    twin?: string;
    /**
     * of video, in bit/s; 2,500,000. With simulcast of the largest layer; the lower ones take a quarter more
     */
    maxBitrate?: number;
    /**
     * send the picture in several sizes, from 480 lines up, so that each viewer gets what its network carries; true
     */
    simulcast?: boolean;
    /**
     * where Chromium's estimate begins, in bit/s; half of `maxBitrate` within 300,000 to 2,500,000, with simulcast nine tenths of all layers; false: Chromium's own
     */
    startBitrate?: number | false;
    /**
     * pictures a second
     */
    maxFramerate?: number;
};
export type PublisherOptions = import('./session.js').SessionOptions & PublisherOwnOptions;
export type PublisherOwnEvents = {
    /**
     * a viewer said something on a data channel; the node lets those whose token has `messages`
     */
    message: {
        label: string;
        data: string | ArrayBuffer;
    };
    /**
     * a source stopped: unplugged, or "stop sharing" was pressed
     */
    sourceended: {
        kind: 'audio' | 'video';
        track: MediaStreamTrack;
    };
};
export type PublisherEvents = import('./session.js').SessionEvents & PublisherOwnEvents;
export type Senders = {
    audio: RTCRtpSender | null;
    video: RTCRtpSender | null;
    twin: RTCRtpSender | null;
};
/** @extends {Session<PublisherEvents>} */
export declare class Publisher extends Session<PublisherEvents> {
    #private;
    /** @param {PublisherOptions} options */
    constructor(options: PublisherOptions);
    /** The MediaStream that is being sent. `replaceTrack` changes its tracks, so that a preview follows. */
    get media(): MediaStream | null;
    /** The maximum bitrate of video, in bit/s; with simulcast of the largest layer. */
    get maxBitrate(): number;
    /**
     * Publishes the first video and the first audio track. Resolves when the node is connected. After that it reconnects by
     * itself (events `reconnecting`, `connected`) until `close()` or an `error`.
     *
     * @param {MediaStream} media
     * @returns {Promise<void>}
     */
    start(media: MediaStream): Promise<void>;
    /**
     * Replaces the track of the same kind, without a new session. Viewers see only the change of the picture or sound.
     * The old track is stopped unless `keep`. A kind that was not sent before needs a new connection, which is made.
     *
     * @param {MediaStreamTrack} track
     * @param {{ keep?: boolean }} [options]
     */
    replaceTrack(track: MediaStreamTrack, { keep }?: {
        keep?: boolean;
    }): Promise<void>;
    /**
     * Switches to another camera or microphone while live.
     *
     * @param {'audio' | 'video'} kind
     * @param {string} deviceId
     * @param {import('./devices.js').CaptureOptions} [options] size and rate of the picture
     */
    switchDevice(kind: 'audio' | 'video', deviceId: string, options?: import('./devices.js').CaptureOptions): Promise<void>;
    /**
     * A data channel to all viewers. It lasts as long as the publisher: a new connection opens it again. Channels that are
     * asked for before `start()` cost no connection of their own; the first one after it makes a new one.
     *
     * @param {string} label
     * @param {import('./channel.js').ChannelOptions} [options]
     * @returns {Channel}
     */
    channel(label: string, options?: import('./channel.js').ChannelOptions): Channel;
    /** Sends silence or black pictures, until `unmute`. @param {'audio' | 'video'} kind */
    mute(kind: 'audio' | 'video'): void;
    /** @param {'audio' | 'video'} kind */
    unmute(kind: 'audio' | 'video'): void;
    /** Whether no track of this kind is enabled. @param {'audio' | 'video'} kind */
    muted(kind: 'audio' | 'video'): boolean;
    /** Stops the source and sends nothing of this kind, until `replaceTrack`. @param {'audio' | 'video'} kind */
    release(kind: 'audio' | 'video'): Promise<void>;
    /** Changes the maximum bitrate of video. @param {number} bitsPerSecond */
    setMaxBitrate(bitsPerSecond: number): Promise<void>;
    /** @protected @override @param {RTCPeerConnection} pc */
    protected prepare(pc: RTCPeerConnection): void;
    /** @protected @override @param {RTCPeerConnection} pc */
    protected prepareSecond(pc: RTCPeerConnection): {
        begin: () => Promise<void>;
        finish: () => void;
        cancel: () => void;
    };
    /** @protected @override @param {string} sdp */
    protected adjustOffer(sdp: string): string;
    /** @protected @override @param {string} sdp */
    protected adjustAnswer(sdp: string): string;
    /** @protected @override */
    protected onEnd(): void;
}
