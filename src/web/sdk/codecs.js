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
 * The list for `setCodecPreferences`: the wanted codec in all its profiles, then the others in order (what the node or
 * this browser does not take of the first is not the end), then retransmissions. Empty when the browser names none.
 *
 * @param {string} [first] as `VP9`
 * @param {RTCRtpCodec[]} [capable]
 * @returns {RTCRtpCodec[]}
 */
export function codecPreferences(first, capable = capabilities()) {
  const wanted = first?.toUpperCase().replace('.', '');
  const order = [...new Set([...(wanted ? [wanted] : []), ...ORDER])];
  const found = order.flatMap((name) => capable.filter(named(name)));
  return found.length ? [...found, ...capable.filter(named('RTX'))] : [];
}
