/**
 * One reading. Counters count since the connection was made, rates are of the time since the reading before;
 * `undefined` where the browser does not say.
 *
 * @typedef {object} Stats
 * @property {'publish' | 'play'} direction
 * @property {number} atMs when, on the clock of `performance.timeOrigin`
 * @property {string | undefined} codec as `H264`
 * @property {number | undefined} width
 * @property {number | undefined} height
 * @property {number} frames encoded or decoded
 * @property {number} framesPerSecond
 * @property {number} bitsPerSecond audio and video
 * @property {number} packets sent or received, audio and video
 * @property {number | undefined} packetsLost never arrived, even by retransmission
 * @property {number | undefined} lossShare of the packets lost: of all (play), in the last report (publish)
 * @property {number} nacks retransmissions asked for: by the node (publish), by this viewer (play)
 * @property {number} keyFrameRequests
 * @property {number | undefined} retransmitted packets
 * @property {number | undefined} roundTripMs to the node
 * @property {number | undefined} jitterBufferMs that a frame waited, of late (play)
 * @property {number | undefined} latencyMs from the node to the screen, estimated: half a round trip, the jitter buffer and decoding (play)
 * @property {number | undefined} framesDropped (play)
 * @property {number | undefined} freezes (play)
 * @property {string | undefined} limitedBy `none`, `cpu`, `bandwidth` or `other` (publish)
 * @property {number | undefined} availableBitsPerSecond the browser's estimate of the uplink (publish)
 * @property {string | undefined} dtls the version
 * @property {string | undefined} srtp the cipher
 */
/**
 * A stats report's entry: the standard's dictionaries differ by type, and browsers by what they fill in.
 *
 * @typedef {Record<string, any>} Entry
 */
/** Turns cumulative counters into rates between two readings. */
export class Meter {
    /**
     * @param {RTCPeerConnection} pc
     * @param {'publish' | 'play'} direction
     * @returns {Promise<Stats>}
     */
    read(pc: RTCPeerConnection, direction: "publish" | "play"): Promise<Stats>;
    /**
     * @param {Entry[]} report
     * @param {RTCPeerConnection} pc whose it is: another connection's counters start at nought
     * @param {'publish' | 'play'} direction
     * @returns {Stats}
     */
    digest(report: Entry[], pc: RTCPeerConnection, direction: "publish" | "play"): Stats;
    #private;
}
/**
 * One reading. Counters count since the connection was made, rates are of the time since the reading before;
 * `undefined` where the browser does not say.
 */
export type Stats = {
    direction: "publish" | "play";
    /**
     * when, on the clock of `performance.timeOrigin`
     */
    atMs: number;
    /**
     * as `H264`
     */
    codec: string | undefined;
    width: number | undefined;
    height: number | undefined;
    /**
     * encoded or decoded
     */
    frames: number;
    framesPerSecond: number;
    /**
     * audio and video
     */
    bitsPerSecond: number;
    /**
     * sent or received, audio and video
     */
    packets: number;
    /**
     * never arrived, even by retransmission
     */
    packetsLost: number | undefined;
    /**
     * of the packets lost: of all (play), in the last report (publish)
     */
    lossShare: number | undefined;
    /**
     * retransmissions asked for: by the node (publish), by this viewer (play)
     */
    nacks: number;
    keyFrameRequests: number;
    /**
     * packets
     */
    retransmitted: number | undefined;
    /**
     * to the node
     */
    roundTripMs: number | undefined;
    /**
     * that a frame waited, of late (play)
     */
    jitterBufferMs: number | undefined;
    /**
     * from the node to the screen, estimated: half a round trip, the jitter buffer and decoding (play)
     */
    latencyMs: number | undefined;
    /**
     * (play)
     */
    framesDropped: number | undefined;
    /**
     * (play)
     */
    freezes: number | undefined;
    /**
     * `none`, `cpu`, `bandwidth` or `other` (publish)
     */
    limitedBy: string | undefined;
    /**
     * the browser's estimate of the uplink (publish)
     */
    availableBitsPerSecond: number | undefined;
    /**
     * the version
     */
    dtls: string | undefined;
    /**
     * the cipher
     */
    srtp: string | undefined;
};
/**
 * A stats report's entry: the standard's dictionaries differ by type, and browsers by what they fill in.
 */
export type Entry = Record<string, any>;
