export type LayersWanted = {
    /**
     * of the largest layer, in bit/s
     */
    maxBitrate: number;
    maxFramerate?: number;
    /**
     * as `H264`; without, the node chooses
     */
    codec?: string;
    simulcast?: boolean;
};
/**
 * How many layers a picture of this size is sent in.
 *
 * @param {{ width?: number, height?: number }} size
 * @returns {number}
 */
export declare function layerCount({ width, height }: {
    width?: number;
    height?: number;
}): number;
/**
 * The maximum bitrate of a layer, where the largest has `maxBitrate`.
 *
 * @param {string | undefined} rid
 * @param {number} maxBitrate
 */
export declare function layerBitrate(rid: string | undefined, maxBitrate: number): number;
/**
 * The encodings for `addTransceiver`, the lowest first; one without a name where there is no simulcast.
 *
 * @param {{ width?: number, height?: number }} size of the picture
 * @param {LayersWanted} wanted
 * @returns {RTCRtpEncodingParameters[]}
 */
export declare function sendEncodings(size: {
    width?: number;
    height?: number;
}, { maxBitrate, maxFramerate, codec, simulcast }: LayersWanted): RTCRtpEncodingParameters[];
