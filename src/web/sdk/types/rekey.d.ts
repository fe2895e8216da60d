import { Connection } from './connection.js';
export type Steps = {
    /**
     * adds the media
     */
    prepare: (pc: RTCPeerConnection) => import('./session.js').Takeover | Promise<import('./session.js').Takeover>;
    /**
     * the page
     */
    tell: (pc: RTCPeerConnection) => void;
    /**
     * as the node is sent it
     */
    offer: (sdp: string) => string;
    /**
     * as it is applied
     */
    answer: (sdp: string) => string;
    /**
     * it carries the session from now on
     */
    use: (connection: Connection) => void;
};
/**
 * @typedef {object} Steps what the session does meanwhile
 * @property {(pc: RTCPeerConnection) => import('./session.js').Takeover | Promise<import('./session.js').Takeover>} prepare adds the media
 * @property {(pc: RTCPeerConnection) => void} tell the page
 * @property {(sdp: string) => string} offer as the node is sent it
 * @property {(sdp: string) => string} answer as it is applied
 * @property {(connection: Connection) => void} use it carries the session from now on
 */
/**
 * Connects once more, waits until the media comes by the new connection, and closes the first. Rejects where there is no second
 * connection; the first is then as it was.
 *
 * @param {Connection} first
 * @param {Steps} steps
 * @param {AbortSignal} signal the first one has ended, or the node has given the second up
 * @returns {Promise<Connection | null>}
 */
export declare function secondConnection(first: Connection, steps: Steps, signal: AbortSignal): Promise<Connection | null>;
