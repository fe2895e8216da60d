/**
 * The codecs this browser can send, best first.
 *
 * @returns {string[]} as `H264`
 */
export declare const sendableCodecs: () => string[];
/**
 * The list for `setCodecPreferences`: the wanted codec in all its profiles and no other codec, because the node would
 * choose among several. If none is wanted, or this browser does not have it, the list has all of them in order. Then
 * come retransmissions. The list is empty if the browser names no codec.
 *
 * @param {string} [wanted] as `VP9`
 * @param {RTCRtpCodec[]} [capable]
 * @returns {RTCRtpCodec[]}
 */
export declare function codecPreferences(wanted?: string, capable?: RTCRtpCodec[]): RTCRtpCodec[];
