// Plays a stream in a <video>.
//
// A viewer may come before the publisher, and stays when the publisher leaves. `live` says that pictures or sound arrive,
// `idle` that they do not. Browsers let a page play with sound only after the user has interacted with it. So a viewer
// first tries what the element asks for, then plays without sound and fires `playblocked`. The page should then offer a
// button that calls `unmute()`.

import { check, send } from './channel.js';
import { CorecastError } from './errors.js';
import { Handover } from './handover.js';
import { layersOf, unknownLayers, watchHeight, wireChoice } from './layers.js';
import { withFeedbackOnRequest } from './sdp.js';
import { Session } from './session.js';

/** If nothing has arrived for this long, there is no publisher. */
const SILENT_MS = 2_000;
/** Bytes of the longest message of a viewer that a node takes. */
const BACK_BYTES_MAX = 1_024;

/**
 * @typedef {object} ViewerOwnOptions
 * @property {boolean} [audio] true
 * @property {boolean} [video] true
 * @property {boolean} [data] the publisher's data channels are wanted: events `channel`, `message`. without, they are where a listener for one of these was added before `attach()`
 * @property {boolean} [fitToElement] true: no more lines are asked for than the element shows, rounded up to what there is
 * @property {number} [jitterBufferMs] the least the browser holds frames back; the browser's choice. More is smoother, less is sooner
 *
 * @typedef {import('./session.js').SessionOptions & ViewerOwnOptions} ViewerOptions
 *
 * @typedef {object} ViewerOwnEvents
 * @property {Record<string, never>} live pictures or sound arrive
 * @property {Record<string, never>} idle none arrive: nobody publishes
 * @property {{ afterMs: number, waited: boolean }} firstframe shown so long after the connection was begun; `waited`: for a publisher, too
 * @property {import('./layers.js').Layers} layers what there is of the picture, or which of it is played, has changed
 * @property {{ label: string, protocol: string }} channel the publisher has a data channel
 * @property {{ label: string, data: string | ArrayBuffer }} message a message of the publisher's came
 * @property {{ label: string }} channelclosed a data channel was closed; messages may be missing where it is opened again
 * @property {{ playing: boolean }} playblocked the browser allows no sound (`playing`: the picture plays without) or nothing before the person touches the page: call `unmute()` or `play()` from a click
 *
 * @typedef {import('./session.js').SessionEvents & ViewerOwnEvents} ViewerEvents
 */

/** @extends {Session<ViewerEvents>} */
export class Viewer extends Session {
  #kinds;
  #jitterBufferMs;
  #data;
  /** @type {HTMLVideoElement | null} */
  #video = null;
  #live = false;
  /** The publisher's channels, by their labels. @type {Map<string, RTCDataChannel>} */
  #channels = new Map();
  /** Whether the SDK has muted the element, not the page. */
  #muted = false;
  #packets = { frames: 0, packets: 0, atMs: -Infinity };
  /** Packets that arrive before this time are the last ones of a publisher that has gone. */
  #ebbUntilMs = 0;
  #begunMs = 0;
  /** @type {number | undefined} */
  #firstFrameMs;
  #fits;
  #layers = unknownLayers();
  /** @type {import('./layers.js').LayerChoice} */
  #choice = 'auto';
  #shownHeight = 0;
  /** @type {import('./transport.js').Accepted | null} */
  #accepted = null;
  #endWatching = () => {};

  /** @param {ViewerOptions} options */
  constructor(options) {
    super('play', options);
    this.#kinds = [...(options.audio === false ? [] : ['audio']), ...(options.video === false ? [] : ['video'])];
    this.#jitterBufferMs = options.jitterBufferMs;
    this.#data = options.data;
    this.#fits = options.fitToElement ?? true;
  }

  /** @override @param {string} name @param {EventListenerOrEventListenerObject | null} listener @param {boolean | AddEventListenerOptions} [options] */
  addEventListener(name, listener, options) {
    if (name === 'message' || name === 'channel') this.#data ??= true;
    super.addEventListener(name, listener, options);
  }

  /** Whether pictures or sound arrive. */
  get live() { return this.#live; }

  /** The time from the start of the connection to its first picture; undefined before that. */
  get firstFrameMs() { return this.#firstFrameMs; }

  /**
   * Plays in this element. Resolves when the node is connected, whether somebody publishes or not. After that it reconnects
   * by itself (events `reconnecting`, `connected`) until `close()` or an `error`.
   *
   * @param {HTMLVideoElement} video
   * @returns {Promise<void>}
   */
  attach(video) {
    if (!this.#kinds.length) return Promise.reject(new CorecastError('nothing_to_play', 'Neither sound nor picture is wanted', { final: true }));
    this.#video = video;
    video.playsInline = true;
    this.#endWatching();
    if (this.#fits) this.#endWatching = watchHeight(video, (lines) => { this.#shownHeight = lines; void this.#ask({ shown_height: lines }).catch(() => {}); });
    return this.begin();
  }

  /** Plays what was blocked, as far as the browser now allows. */
  async play() {
    const video = this.#video;
    if (!video) return;
    try {
      await video.play();
    } catch (error) {
      // An AbortError means that another source was set in the meantime, whose own play() follows.
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      if (video.muted) return this.#blocked(false);
      video.muted = true;
      this.#muted = true;
      await video.play().then(() => this.#blocked(true), () => this.#blocked(false));
    }
  }

  /** What there is of the picture, which of it is played, and why. */
  get layers() { return this.#layers; }

  /**
   * Chooses: `'auto'` (the best that the network carries and the element shows), `{ height: 720 }` (no more lines than that),
   * `{ rid: 'h' }` (that encoding), or `'sound'` (no picture). It holds until another is chosen, also over new connections.
   * Rejects where the node refuses, as for a `rid` that the publisher does not have; then what was chosen before stays.
   *
   * @param {import('./layers.js').LayerChoice} choice
   */
  async setLayer(choice) {
    const layer = wireChoice(choice);
    const before = this.#choice;
    this.#choice = choice;
    await this.#ask({ layer }).catch((error) => {
      if (this.#choice === choice) this.#choice = before;
      throw error;
    });
  }

  /** @param {import('./layers.js').LayerRequest} request */
  async #ask(request) {
    // Before there is a session, it is asked when there is one.
    if (this.#accepted) await this.#accepted.layer({ layer: wireChoice(this.#choice), ...request });
  }

  /** Says everything anew: to a new session, and over a new socket. */
  #askAll() {
    const shown = this.#shownHeight > 0 ? { shown_height: this.#shownHeight } : {};
    // A node without layers refuses, and plays what it has.
    this.#ask({ layer: wireChoice(this.#choice), ...shown }).catch(() => {});
  }

  /** @protected @override @param {import('./transport.js').Accepted} accepted */
  onAccepted(accepted) {
    if (!this.#kinds.includes('video')) return;
    this.#accepted = accepted;
    this.#askAll();
  }

  /** @protected @override @param {boolean} up */
  onSignalling(up) { if (up) this.#askAll(); }

  /** @protected @override @param {Record<string, any>} layers */
  onLayers(layers) {
    this.#layers = layersOf(layers);
    this.dispatchEvent(new CustomEvent('layers', { detail: this.#layers }));
  }

  /** Turns the sound on. Call it from a click, because browsers allow it only there. */
  async unmute() {
    if (this.#video) this.#video.muted = false;
    this.#muted = false;
    await this.play();
  }

  /** Turns the sound off. */
  mute() {
    if (this.#video) this.#video.muted = true;
    this.#muted = false;
  }

  /** Whether the browser has blocked the sound. */
  get soundBlocked() { return this.#muted; }

  /**
   * Says something to the publisher on one of its data channels: text, or bytes of at most 1,024; 4 messages a second. A node
   * lets only those through whose token has `messages`, and promises nobody that it arrives.
   *
   * @param {string} label
   * @param {string | ArrayBuffer} message
   * @returns {boolean} whether it was sent: there is such a channel now
   */
  send(label, message) {
    check(message, BACK_BYTES_MAX);
    const channel = this.#channels.get(label);
    if (channel?.readyState !== 'open') return false;
    send(channel, message);
    return true;
  }

  /** @protected @override @param {string} sdp */
  adjustOffer(sdp) { return isChromium() ? withFeedbackOnRequest(sdp) : sdp; }

  /** @protected @override @param {RTCPeerConnection} pc */
  prepareSecond(pc) {
    const media = new MediaStream();
    this.#receiveOn(pc);
    if (this.#data) this.#receive(pc);
    pc.addEventListener('track', ({ track }) => media.addTrack(track));
    /** @type {Handover | null} */
    let handover = null;
    return {
      begin: async () => {
        if (!this.#video) return;
        handover = new Handover(this.#video, media);
        await handover.begin();
      },
      finish: () => handover?.finish(),
      cancel: () => handover?.cancel(),
    };
  }

  /** @param {RTCPeerConnection} pc */
  #receiveOn(pc) {
    for (const kind of this.#kinds) {
      const { receiver } = pc.addTransceiver(kind, { direction: 'recvonly' });
      if (this.#jitterBufferMs !== undefined && 'jitterBufferTarget' in receiver) receiver.jitterBufferTarget = this.#jitterBufferMs;
    }
  }

  /** @protected @override @param {RTCPeerConnection} pc */
  prepare(pc) {
    const media = new MediaStream();
    this.#accepted = null;
    this.#layers = unknownLayers();
    this.#channels.clear();
    this.#begunMs = performance.now();
    this.#firstFrameMs = undefined;
    this.#packets = { frames: 0, packets: 0, atMs: -Infinity };
    this.#setLive(false);
    this.#receiveOn(pc);
    if (this.#data) this.#receive(pc);
    pc.addEventListener('track', ({ track }) => {
      media.addTrack(track);
      const video = this.#video;
      // The source is set only now, because the last picture of a lost connection is better than black.
      if (video && video.srcObject !== media) {
        video.srcObject = media;
        this.play();
        // Callbacks of the old source may still come. Only a picture after this connection's own track counts.
        video.requestVideoFrameCallback?.(() => { if (this.pc === pc) this.#shown(); });
      }
    });
  }

  /** Takes data channels. @param {RTCPeerConnection} pc */
  #receive(pc) {
    // Agreed on by both ends without a message: it makes the section of data channels in the offer.
    pc.createDataChannel('corecast', { negotiated: true, id: 0 });
    pc.addEventListener('datachannel', ({ channel }) => {
      const { label, protocol } = channel;
      channel.binaryType = 'arraybuffer';
      this.#channels.set(label, channel);
      channel.addEventListener('message', ({ data }) => this.dispatchEvent(new CustomEvent('message', { detail: { label, data } })));
      channel.addEventListener('close', () => {
        // Another connection's has taken its place.
        if (this.#channels.has(label) && this.#channels.get(label) !== channel) return;
        this.#channels.delete(label);
        this.dispatchEvent(new CustomEvent('channelclosed', { detail: { label } }));
      });
      this.dispatchEvent(new CustomEvent('channel', { detail: { label, protocol } }));
    });
  }

  /** @protected @override @param {boolean} live */
  onLive(live) {
    // The node knows that a publisher has gone before silence shows it. Whether pictures arrive is seen here.
    if (live) return;
    this.#packets.atMs = -Infinity;
    this.#ebbUntilMs = performance.now() + SILENT_MS;
    this.#setLive(false);
  }

  /** @protected @override @param {import('./stats.js').Stats} stats */
  onStats(stats) {
    const now = performance.now();
    // If there is video, frames count, not packets: a publisher that only keeps its ports open is not live.
    const { frames, packets } = stats;
    const { layers, current } = this.#layers;
    const soundOnly = this.#choice === 'sound' || (layers.length > 0 && current === null);
    const arrives = frames > this.#packets.frames || ((soundOnly || !frames) && packets > this.#packets.packets);
    this.#packets = { frames, packets, atMs: !arrives ? this.#packets.atMs : now < this.#ebbUntilMs ? -Infinity : now };
    this.#setLive(this.state === 'connected' && now - this.#packets.atMs < SILENT_MS);
  }

  /** @protected @override */
  onEnd() {
    this.#accepted = null;
    this.#endWatching();
    this.#setLive(false);
  }

  #shown() {
    this.#firstFrameMs = performance.now() - this.#begunMs;
    this.#packets.atMs = performance.now();
    this.dispatchEvent(new CustomEvent('firstframe', { detail: { afterMs: this.#firstFrameMs, waited: this.#firstFrameMs > SILENT_MS } }));
    this.#setLive(true);
  }

  /** @param {boolean} playing */
  #blocked(playing) { this.dispatchEvent(new CustomEvent('playblocked', { detail: { playing } })); }

  /** @param {boolean} live */
  #setLive(live) {
    if (live === this.#live) return;
    this.#live = live;
    this.dispatchEvent(new CustomEvent(live ? 'live' : 'idle', { detail: {} }));
  }
}

/** Whether this is Chromium or made of it, as far as the page may know. */
function isChromium() {
  const brands = /** @type {any} */ (globalThis.navigator)?.userAgentData?.brands ?? [];
  return brands.some((/** @type {{ brand: string }} */ { brand }) => brand === 'Chromium');
}
