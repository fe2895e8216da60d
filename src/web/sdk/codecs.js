// Which video codecs a browser can send, and how it is told to prefer one.

/** H.264 first: every viewer plays it and most devices encode it in hardware. */
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
 * The list for `setCodecPreferences`: the wanted codec in all its profiles, and no other, since the node's choice among
 * several is its own; all of them in order when none is wanted, or when this browser has not got it. Then
 * retransmissions. Empty when the browser names none.
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
