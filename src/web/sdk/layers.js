// What a stream's picture can be played as, what a viewer chose of it, and how large the page shows it.

import { CorecastError } from './errors.js';

/** A page that is being resized says so when it has stopped. */
const SETTLED_MS = 300;

/**
 * @typedef {object} Layer one encoding of the picture
 * @property {number} id its place: 0 is the lowest
 * @property {string} rid its name as the publisher gave it; empty without simulcast
 * @property {number} width pixels; 0 where that is not known yet
 * @property {number} height pixels; 0 where that is not known yet
 * @property {number} bitsPerSecond
 * @property {number} framesPerSecond
 * @property {boolean} alive whether the publisher sends it now: browsers pause what their network or processor does not carry
 * @property {boolean} current whether it is played now
 *
 * @typedef {'auto' | 'sound' | { height: number } | { rid: string }} LayerChoice the best that network and size allow; sound only; no higher than so many lines; that encoding
 *
 * @typedef {object} Layers
 * @property {Layer[]} layers the lowest first; one where the publisher sends no simulcast
 * @property {Layer | null} current the one that is played; null: sound only, or nothing yet
 * @property {LayerChoice} choice what was chosen
 * @property {string} why why this one, in one word, like `top`, `chosen`, `shown_height`, `queue`, `loss`
 * @property {string} because the same as the end of a sentence: it is played because …
 *
 * @typedef {'auto' | 'none' | { height: number } | { rid: string }} WireChoice
 * @typedef {{ layer?: WireChoice, shown_height?: number }} LayerRequest what the node is asked for
 */

/** @returns {Layers} before anything is known */
export const unknownLayers = () => ({ layers: [], current: null, choice: 'auto', why: '', because: '' });

/**
 * What the node is asked for. Throws where it is not a choice.
 *
 * @param {LayerChoice} choice
 * @returns {WireChoice}
 */
export function wireChoice(choice) {
  if (choice === 'auto') return 'auto';
  if (choice === 'sound') return 'none';
  if (choice !== null && typeof choice === 'object') {
    if ('rid' in choice && typeof choice.rid === 'string') return { rid: choice.rid };
    if ('height' in choice && Number.isInteger(choice.height) && choice.height > 0 && choice.height < 65_536) return { height: choice.height };
  }
  throw new CorecastError('bad_layer', `${JSON.stringify(choice)} is no layer`, { hint: 'Choose "auto", "sound", { height: 720 } or { rid: "h" }.' });
}

/** @param {any} choice as the node writes it @returns {LayerChoice} */
const choiceOf = (choice) => (choice === 'none' ? 'sound' : choice ?? 'auto');

/**
 * Reads the node's `layers`.
 *
 * @param {Record<string, any>} message
 * @returns {Layers}
 */
export function layersOf(message) {
  /** @type {Layer[]} */
  const layers = (message.layers ?? []).map((/** @type {any} */ layer, /** @type {number} */ id) => ({
    id,
    rid: String(layer.rid ?? ''),
    width: Number(layer.width) || 0,
    height: Number(layer.height) || 0,
    bitsPerSecond: Number(layer.bits_per_second) || 0,
    framesPerSecond: Number(layer.frames_per_second) || 0,
    alive: Boolean(layer.alive),
    current: message.current === id,
  }));
  return {
    layers,
    current: layers.find((layer) => layer.current) ?? null,
    choice: choiceOf(message.layer),
    why: String(message.why ?? ''),
    because: String(message.detail ?? ''),
  };
}

/**
 * Reads the `data` of WHEP's event `layers`: by the index of a section its layers, and beside them what is sent and why.
 *
 * @param {string} data
 * @returns {Record<string, any>} as over the socket
 */
export function fromEvent(data) {
  const event = JSON.parse(data);
  const section = Object.keys(event).find((key) => /^\d+$/.test(key));
  const listed = section === undefined ? [] : event[section];
  const layers = listed.map((/** @type {any} */ layer) => ({
    ...layer, bits_per_second: layer.bitrate, frames_per_second: layer.framesPerSecond, alive: layer.bitrate > 0,
  }));
  const current = listed.findIndex((/** @type {any} */ layer) => layer.current);
  return { layers, current: current < 0 ? null : current, layer: event.choice, why: event.why, detail: event.detail };
}

/**
 * Tells how many lines of the screen a picture in this element has, when it is first known and when it has changed for good.
 *
 * @param {HTMLVideoElement} video
 * @param {(lines: number) => void} tell
 * @returns {() => void} ends it
 */
export function watchHeight(video, tell) {
  if (!globalThis.ResizeObserver || typeof video.getBoundingClientRect !== 'function') return () => {};
  let told = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;
  const look = () => {
    const lines = shownLines(video);
    if (lines === told || lines === 0) return;
    told = lines;
    tell(lines);
  };
  const observer = new ResizeObserver(() => {
    clearTimeout(settling);
    settling = setTimeout(look, SETTLED_MS);
  });
  observer.observe(video);
  return () => {
    clearTimeout(settling);
    observer.disconnect();
  };
}

/** The picture keeps its shape in the element, as browsers draw it by default. @param {HTMLVideoElement} video */
function shownLines(video) {
  const { clientWidth: width, clientHeight: height, videoWidth, videoHeight } = video;
  const fitted = videoWidth > 0 ? Math.min(height, (width * videoHeight) / videoWidth) : height;
  return Math.min(65_535, Math.round(fitted * (globalThis.devicePixelRatio || 1)));
}
