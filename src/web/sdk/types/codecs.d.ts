/**
 * The codecs this browser can send, best first.
 *
 * @returns {string[]} as `H264`
 */
export declare const sendableCodecs: () => string[];
/**
 * The list for `setCodecPreferences`: the wanted codec in all its profiles, then the others in order (what the node or
 * this browser does not take of the first is not the end), then retransmissions. Empty when the browser names none.
 *
 * @param {string} [first] as `VP9`
 * @param {RTCRtpCodec[]} [capable]
 * @returns {RTCRtpCodec[]}
 */
export declare function codecPreferences(first?: string, capable?: RTCRtpCodec[]): RTCRtpCodec[];
