/**
 * The codecs this browser can send, best first.
 *
 * @returns {string[]} as `H264`
 */
export declare const sendableCodecs: () => string[];
/**
 * The list for `setCodecPreferences`: the wanted codec in all its profiles, and no other, since the node's choice among
 * several is its own; all of them in order when none is wanted, or when this browser has not got it. Then
 * retransmissions. Empty when the browser names none.
 *
 * @param {string} [wanted] as `VP9`
 * @param {RTCRtpCodec[]} [capable]
 * @returns {RTCRtpCodec[]}
 */
export declare function codecPreferences(wanted?: string, capable?: RTCRtpCodec[]): RTCRtpCodec[];
