/**
 * The codecs this browser can send, best first.
 *
 * @returns {string[]} as `H264`
 */
export declare const sendableCodecs: () => string[];
/**
 * The codec of a picture that has a twin: the wanted one, else, because the node may choose the twin's, the best other one.
 *
 * @param {string | undefined} twin
 * @param {string | undefined} wanted
 * @returns {string | undefined}
 */
export declare function otherThan(twin: string | undefined, wanted: string | undefined): string | undefined;
/**
 * The list for `setCodecPreferences`: the wanted codec in all its profiles and no other codec, because the node would
 * choose among several. If none is wanted, or this browser does not have it, the list has all of them in order. Then
 * come retransmissions. The list is empty if the browser names no codec.
 *
 * @param {string} [wanted] as `VP9`
 * @param {RTCRtpCodec[]} [capable]
 * @param {boolean} [only] none but the wanted one
 * @returns {RTCRtpCodec[]}
 */
export declare function codecPreferences(wanted?: string, capable?: RTCRtpCodec[], only?: boolean): RTCRtpCodec[];
