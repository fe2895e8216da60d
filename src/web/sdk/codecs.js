// The video codecs that a browser can send, and how to make it prefer one.

/** H.264 comes first, because every viewer plays it and most devices encode it in hardware. */
const ORDER = ['H264', 'VP8', 'VP9', 'AV1', 'H265'];

/** @param {string} name @returns {(codec: RTCRtpCodec) => boolean} */
const named = (name) => ({ mimeType }) => mimeType.toUpperCase() === `VIDEO/${name}`;

const capabilities = () => globalThis.RTCRtpSender?.getCapabilities?.('video')?.codecs ?? [];

/**
 * The codecs this browser can send, best first.
 *
 * @returns {string[]} as `H264`
 */
export const sendableCodecs = () => ORDER.filter((name) => capabilities().some(named(name)));

/**
 * The list for `setCodecPreferences`: the wanted codec in all its profiles and no other codec, because the node would
 * choose among several. If none is wanted, or this browser does not have it, the list has all of them in order. Then
 * come retransmissions. The list is empty if the browser names no codec.
 *
 * @param {string} [wanted] as `VP9`
 * @param {RTCRtpCodec[]} [capable]
 * @returns {RTCRtpCodec[]}
 */
export function codecPreferences(wanted, capable = capabilities()) {
  const only = capable.filter(named(wanted?.toUpperCase().replace('.', '') ?? ''));
  const found = only.length ? only : ORDER.flatMap((name) => capable.filter(named(name)));
  return found.length ? [...found, ...capable.filter(named('RTX'))] : [];
}
