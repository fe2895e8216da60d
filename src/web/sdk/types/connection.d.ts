import { CorecastError } from './errors.js';
export declare class Connection {
    #private;
    /** Resolves with the reason when the connection is over for good. @type {Promise<CorecastError>} */
    lost: Promise<CorecastError>;
    /** Resolves when connected for the first time; rejects if that does not happen. @type {Promise<void>} */
    connected: Promise<void>;
    /** Called after each ICE restart that the node accepted. */
    onrestart: () => void;
    /**
     * @param {RTCPeerConnection} pc with both descriptions
     * @param {import('./transport.js').Accepted} accepted
     * @param {RTCIceServer[]} [relays] TURN servers that the browser has not been told of: it is when nothing else connects
     */
    constructor(pc: RTCPeerConnection, accepted: import('./transport.js').Accepted, relays?: RTCIceServer[]);
    /** The node says that the session is over. @param {string} reason @param {string} detail */
    ended(reason: string, detail: string): void;
    /** The network may have changed: looks for a new path, while media continues on the old one if that still works. */
    networkChanged(): void;
    get pc(): RTCPeerConnection;
    get accepted(): import("./transport.js").Accepted;
    /** Ends the connection here only: the session has another one. */
    retire(): void;
    /** Ends the connection here and on the node. */
    close(): void;
}
