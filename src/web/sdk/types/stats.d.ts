export type Stats = {
    direction: 'publish' | 'play';
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
     * what each layer of the picture sends, a twin first, then the smallest; empty where one is sent (publish)
     */
    layers: LayerStats[];
    /**
     * the version, as `1.3`
     */
    dtls: string | undefined;
    /**
     * the cipher
     */
    srtp: string | undefined;
};
export type LayerStats = {
    /**
     * its name; empty without simulcast
     */
    rid: string;
    /**
     * as `H264`
     */
    codec: string | undefined;
    /**
     * it is the picture's twin in another codec
     */
    twin: boolean;
    width: number | undefined;
    height: number | undefined;
    framesPerSecond: number;
    bitsPerSecond: number;
    /**
     * nothing of it was sent since the previous reading: the browser pauses upper layers when the uplink or the computer does not suffice
     */
    paused: boolean;
};
export type Entry = Record<string, any>;
/** Turns cumulative counters into rates between two readings. */
export declare class Meter {
    #private;
    /**
     * @param {RTCPeerConnection} pc
     * @param {'publish' | 'play'} direction
     * @returns {Promise<Stats>}
     */
    read(pc: RTCPeerConnection, direction: 'publish' | 'play'): Promise<Stats>;
    /**
     * @param {Entry[]} report
     * @param {RTCPeerConnection} pc the connection that it is from, because another connection's counters start at 0
     * @param {'publish' | 'play'} direction
     * @returns {Stats}
     */
    digest(report: Entry[], pc: RTCPeerConnection, direction: 'publish' | 'play'): Stats;
}
