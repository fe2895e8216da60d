export type ChannelOptions = {
    /**
     * messages arrive in the order of sending; true
     */
    ordered?: boolean;
    /**
     * how often a lost message is sent again; without, until it arrives
     */
    maxRetransmits?: number;
    /**
     * the same in milliseconds
     */
    maxPacketLifeTime?: number;
    /**
     * viewers that come later get the last message; false
     */
    retain?: boolean;
};
export declare class Channel {
    #private;
    /** @param {string} label @param {ChannelOptions} options @param {(data: string | ArrayBuffer) => void} heard what a viewer said on it */
    constructor(label: string, options: ChannelOptions, heard: (data: string | ArrayBuffer) => void);
    get label(): string;
    /** Whether a message can be sent now. */
    get open(): boolean;
    /**
     * Sends a message to all viewers: text, or bytes of at most 16 KiB, 64 a second. Where `retain` was asked for, it is kept
     * until the channel is open.
     *
     * @param {string | ArrayBuffer} message
     * @returns {boolean} whether it was sent
     */
    send(message: string | ArrayBuffer): boolean;
    /** Opens it over a connection, in place of the one before. @param {RTCPeerConnection} pc */
    openOn(pc: RTCPeerConnection): void;
    /** Opens it over a second connection as well. @param {RTCPeerConnection} pc @returns {() => void} from then on it is the one that is used */
    openBeside(pc: RTCPeerConnection): () => void;
}
/** Throws where a message is longer than a node takes. @param {string | ArrayBuffer} message @param {number} bytesMax */
export declare function check(message: string | ArrayBuffer, bytesMax: number): void;
/** @param {RTCDataChannel} channel @param {string | ArrayBuffer} message */
export declare function send(channel: RTCDataChannel, message: string | ArrayBuffer): void;
