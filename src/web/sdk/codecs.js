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
 * The codec of a picture that has a twin: the wanted one, else, because the node may choose the twin's, the best other one.
 *
 * @param {string | undefined} twin
 * @param {string | undefined} wanted
 * @returns {string | undefined}
 */
export function otherThan(twin, wanted) {
  if (wanted || !twin) return wanted;
  return sendableCodecs().find((name) => name !== twin.toUpperCase().replace('.', ''));
}

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
export function codecPreferences(wanted, capable = capabilities(), only = false) {
  const fitting = capable.filter(named(wanted?.toUpperCase().replace('.', '') ?? ''));
  const found = fitting.length || only ? fitting : ORDER.flatMap((name) => capable.filter(named(name)));
  return found.length ? [...found, ...capable.filter(named('RTX'))] : [];
}
