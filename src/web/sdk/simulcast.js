// The layers that a publisher sends: the same picture in several sizes, so that each viewer gets what its network carries.
//
// Three layers from 540 lines up (`l`, `m`, `h`: a quarter, half and all of each side), two from 480 (`m`, `h`), one below
// that: libwebrtc sends no more for such pictures. The lowest comes first, which is the order that encoders expect. Not for
// codecs that would make spatial layers of one stream of them, unless the browser can be told not to.

/**
 * @typedef {object} LayersWanted
 * @property {number} maxBitrate of the largest layer, in bit/s
 * @property {number} [maxFramerate]
 * @property {string} [codec] as `H264`; without, the node chooses
 * @property {boolean} [simulcast]
 */

/** Names, how far each side is reduced, and the share of the largest layer's bitrate. */
const LAYERS = [
  { rid: 'l', scaleResolutionDownBy: 4, share: 0.06 },
  { rid: 'm', scaleResolutionDownBy: 2, share: 0.2 },
  { rid: 'h', scaleResolutionDownBy: 1, share: 1 },
];

/** What a layer needs at least to be worth its encoding (libwebrtc starts none with less), in bit/s. */
const LEAST = 60_000;

/** Codecs of which browsers make simulcast whatever they are told. */
const PLAIN = ['', 'H264', 'VP8'];

/** @type {boolean | undefined} */
let scalable;

/** Whether this browser takes a scalability mode, without which Chromium sends VP9 and AV1 as one stream of spatial layers. */
function takesScalabilityMode() {
  if (scalable !== undefined) return scalable;
  try {
    const pc = new RTCPeerConnection();
    const { sender } = pc.addTransceiver('video', { sendEncodings: [/** @type {any} */ ({ scalabilityMode: 'L1T1' })] });
    scalable = /** @type {any} */ (sender.getParameters().encodings?.[0])?.scalabilityMode === 'L1T1';
    pc.close();
  } catch {
    scalable = false;
  }
  return scalable;
}

/**
 * How many layers a picture of this size is sent in.
 *
 * @param {{ width?: number, height?: number }} size
 * @returns {number}
 */
export function layerCount({ width = 0, height = 0 }) {
  const lines = Math.min(width || height, height || width);
  return lines >= 540 ? 3 : lines >= 480 ? 2 : 1;
}

/**
 * The maximum bitrate of a layer, where the largest has `maxBitrate`.
 *
 * @param {string | undefined} rid
 * @param {number} maxBitrate
 */
export function layerBitrate(rid, maxBitrate) {
  const share = LAYERS.find((layer) => layer.rid === rid)?.share ?? 1;
  return share === 1 ? maxBitrate : Math.min(maxBitrate, Math.max(LEAST, Math.round(maxBitrate * share)));
}

/**
 * The encodings for `addTransceiver`, the lowest first; one without a name where there is no simulcast.
 *
 * @param {{ width?: number, height?: number }} size of the picture
 * @param {LayersWanted} wanted
 * @returns {RTCRtpEncodingParameters[]}
 */
export function sendEncodings(size, { maxBitrate, maxFramerate, codec, simulcast = true }) {
  const common = maxFramerate ? { maxFramerate } : {};
  const name = (codec ?? '').toUpperCase().replace('.', '');
  const isPlain = PLAIN.includes(name);
  const count = simulcast && (isPlain || takesScalabilityMode()) ? layerCount(size) : 1;
  if (count === 1) return [{ ...common, maxBitrate }];
  return LAYERS.slice(-count).map(({ rid, scaleResolutionDownBy }) => ({
    ...common, rid, scaleResolutionDownBy, maxBitrate: layerBitrate(rid, maxBitrate), ...(isPlain ? {} : { scalabilityMode: 'L1T1' }),
  }));
}
