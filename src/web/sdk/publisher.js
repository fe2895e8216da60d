// Sends a MediaStream to a node.
//
// There are two ways to send nothing. `mute(kind)` keeps the source: the track continues with silence or black pictures,
// unmuting takes effect at once, and the camera's light stays on. `release(kind)` stops the source: nothing is sent, the
// light goes out, and `replaceTrack` with a new capture continues in the same session. Viewers stay connected either way.

import { pause } from './backoff.js';
import { Channel } from './channel.js';
import { codecPreferences, otherThan } from './codecs.js';
import { capture } from './devices.js';
import { CorecastError } from './errors.js';
import { startBitrate, withStartBitrate, withTwin } from './sdp.js';
import { Session } from './session.js';
import { layerBitrate, sendEncodings } from './simulcast.js';

/**
 * @typedef {object} PublisherOwnOptions
 * @property {string} [codec] the video codec, as `H264`, `VP8`, `VP9`, `AV1`, where the browser has it; without, the node chooses, H.264 being offered first
 * @property {string} [twin] a second codec in which the same picture is sent as well, in one size, for viewers that cannot decode the first; it takes `maxBitrate` once more. Left out where the browser does not have it
 * @property {number} [maxBitrate] of video, in bit/s; 2,500,000. With simulcast of the largest layer; the lower ones take a quarter more
 * @property {boolean} [simulcast] send the picture in several sizes, from 480 lines up, so that each viewer gets what its network carries; true
 * @property {number | false} [startBitrate] where Chromium's estimate begins, in bit/s; half of `maxBitrate` within 300,000 to 2,500,000, with simulcast nine tenths of all layers; false: Chromium's own
 * @property {number} [maxFramerate] pictures a second
 *
 * @typedef {import('./session.js').SessionOptions & PublisherOwnOptions} PublisherOptions
 *
 * @typedef {object} PublisherOwnEvents
 * @property {{ label: string, data: string | ArrayBuffer }} message a viewer said something on a data channel; the node lets those whose token has `messages`
 * @property {{ kind: 'audio' | 'video', track: MediaStreamTrack }} sourceended a source stopped: unplugged, or "stop sharing" was pressed
 *
 * @typedef {import('./session.js').SessionEvents & PublisherOwnEvents} PublisherEvents
 */

/** @typedef {{ audio: RTCRtpSender | null, video: RTCRtpSender | null, twin: RTCRtpSender | null }} Senders `twin` sends the picture in a second codec */

/** A second connection that has sent no key frame of each encoding for so long is used all the same. */
const KEY_FRAMES_WITHIN_MS = 6_000;
/** How long after its first key frames it is used: they have arrived by then. */
const ARRIVED_AFTER_MS = 300;

/** @extends {Session<PublisherEvents>} */
export class Publisher extends Session {
  #codec;
  #twin;
  #maxBitrate;
  #startBitrate;
  #maxFramerate;
  #simulcast;
  /** What all layers of the present connection take, in bit/s; 0 without simulcast. */
  #layersBitrate = 0;
  /** @type {MediaStream | null} */
  #media = null;
  /** @type {Senders} */
  #senders = { audio: null, video: null, twin: null };
  /** Those of a second connection, while there is one. @type {Senders | null} */
  #second = null;
  /** @type {Channel[]} */
  #channels = [];
  /** Stops listening to the present tracks. */
  #watched = new AbortController();

  /** @param {PublisherOptions} options */
  constructor(options) {
    super('publish', options);
    this.#codec = otherThan(options.twin, options.codec);
    this.#twin = options.twin === this.#codec ? undefined : options.twin;
    this.#maxBitrate = options.maxBitrate ?? 2_500_000;
    this.#startBitrate = options.startBitrate;
    this.#maxFramerate = options.maxFramerate;
    this.#simulcast = options.simulcast ?? true;
  }

  /** The MediaStream that is being sent. `replaceTrack` changes its tracks, so that a preview follows. */
  get media() { return this.#media; }

  /** The maximum bitrate of video, in bit/s; with simulcast of the largest layer. */
  get maxBitrate() { return this.#maxBitrate; }

  /**
   * Publishes the first video and the first audio track. Resolves when the node is connected. After that it reconnects by
   * itself (events `reconnecting`, `connected`) until `close()` or an `error`.
   *
   * @param {MediaStream} media
   * @returns {Promise<void>}
   */
  start(media) {
    if (media.getTracks().length === 0) return Promise.reject(new CorecastError('nothing_to_send', 'The MediaStream has no track', { final: true }));
    this.#media = media;
    this.#watchTracks();
    return this.begin();
  }

  /**
   * Replaces the track of the same kind, without a new session. Viewers see only the change of the picture or sound.
   * The old track is stopped unless `keep`. A kind that was not sent before needs a new connection, which is made.
   *
   * @param {MediaStreamTrack} track
   * @param {{ keep?: boolean }} [options]
   */
  async replaceTrack(track, { keep = false } = {}) {
    const media = this.#media;
    if (!media) throw new CorecastError('not_started', 'Nothing is being published', { final: true });
    const kind = kindOf(track);
    const old = media.getTracks().filter((each) => each.kind === kind && each !== track);
    const muted = this.muted(kind) && old.length > 0;
    const sender = this.#senders[kind];
    for (const each of this.#sendersOf(kind)) await each.replaceTrack(track);
    for (const each of old) {
      media.removeTrack(each);
      if (!keep) each.stop();
    }
    media.addTrack(track);
    if (muted) track.enabled = false;
    this.#watchTracks();
    if (!sender) await this.renew();
  }

  /**
   * Switches to another camera or microphone while live.
   *
   * @param {'audio' | 'video'} kind
   * @param {string} deviceId
   * @param {import('./devices.js').CaptureOptions} [options] size and rate of the picture
   */
  async switchDevice(kind, deviceId, options = {}) {
    const media = await capture({ ...options, camera: kind === 'video' && deviceId, microphone: kind === 'audio' && deviceId });
    await this.replaceTrack(media.getTracks()[0]);
  }

  /**
   * A data channel to all viewers. It lasts as long as the publisher: a new connection opens it again. Channels that are
   * asked for before `start()` cost no connection of their own; the first one after it makes a new one.
   *
   * @param {string} label
   * @param {import('./channel.js').ChannelOptions} [options]
   * @returns {Channel}
   */
  channel(label, options = {}) {
    const channel = new Channel(label, options, (data) => this.dispatchEvent(new CustomEvent('message', { detail: { label, data } })));
    this.#channels.push(channel);
    const isFirst = this.#channels.length === 1;
    if (this.pc && isFirst) void this.renew().catch(() => {});
    else if (this.pc) channel.openOn(this.pc);
    return channel;
  }

  /** Sends silence or black pictures, until `unmute`. @param {'audio' | 'video'} kind */
  mute(kind) { this.#enable(kind, false); }

  /** @param {'audio' | 'video'} kind */
  unmute(kind) { this.#enable(kind, true); }

  /** Whether no track of this kind is enabled. @param {'audio' | 'video'} kind */
  muted(kind) { return !(this.#media?.getTracks() ?? []).some((track) => track.kind === kind && track.enabled); }

  /** Stops the source and sends nothing of this kind, until `replaceTrack`. @param {'audio' | 'video'} kind */
  async release(kind) {
    for (const each of this.#sendersOf(kind)) await each.replaceTrack(null);
    for (const track of this.#media?.getTracks() ?? []) {
      if (track.kind !== kind) continue;
      this.#media?.removeTrack(track);
      track.stop();
    }
  }

  /** Changes the maximum bitrate of video. @param {number} bitsPerSecond */
  async setMaxBitrate(bitsPerSecond) {
    this.#maxBitrate = bitsPerSecond;
    for (const sender of this.#sendersOf('video')) {
      const parameters = sender.getParameters();
      for (const encoding of parameters.encodings ?? []) encoding.maxBitrate = layerBitrate(encoding.rid, bitsPerSecond);
      await sender.setParameters(parameters);
    }
  }

  /** @param {'audio' | 'video'} kind @returns {RTCRtpSender[]} */
  #sendersOf(kind) {
    return [this.#senders, this.#second].flatMap((all) => (all ? [all[kind], kind === 'video' ? all.twin : null] : [])).filter((each) => each !== null);
  }

  /** @protected @override @param {RTCPeerConnection} pc */
  prepare(pc) {
    for (const channel of this.#channels) channel.openOn(pc);
    this.#second = null;
    this.#senders = this.#add(pc);
  }

  /** @protected @override @param {RTCPeerConnection} pc */
  prepareSecond(pc) {
    const moves = this.#channels.map((channel) => channel.openBeside(pc));
    const senders = (this.#second = this.#add(pc));
    const forget = () => { if (this.#second === senders) this.#second = null; };
    return {
      begin: () => keyFramesSent(pc),
      finish: () => {
        forget();
        this.#senders = senders;
        moves.forEach((move) => move());
      },
      cancel: forget,
    };
  }

  /** Adds what is published to a connection. @param {RTCPeerConnection} pc @returns {Senders} */
  #add(pc) {
    /** @type {Senders} */
    const senders = { audio: null, video: null, twin: null };
    const media = this.#media;
    if (!media) return senders;
    const [audio] = media.getAudioTracks();
    const [video] = media.getVideoTracks();
    if (audio) senders.audio = pc.addTransceiver(audio, { direction: 'sendonly', streams: [media] }).sender;
    if (!video) return senders;
    const wanted = { maxBitrate: this.#maxBitrate, maxFramerate: this.#maxFramerate, codec: this.#codec, simulcast: this.#simulcast };
    const encodings = sendEncodings(video.getSettings?.() ?? {}, wanted);
    this.#layersBitrate = encodings.length > 1 ? encodings.reduce((sum, { maxBitrate = 0 }) => sum + maxBitrate, 0) : 0;
    const transceiver = pc.addTransceiver(video, { direction: 'sendonly', streams: [media], sendEncodings: encodings });
    senders.video = transceiver.sender;
    const preferences = codecPreferences(this.#codec);
    if (preferences.length) transceiver.setCodecPreferences?.(preferences);
    const twins = this.#twin ? codecPreferences(this.#twin, undefined, true) : [];
    if (twins.length === 0 || !transceiver.setCodecPreferences) return senders;
    const common = this.#maxFramerate ? { maxFramerate: this.#maxFramerate } : {};
    const twin = pc.addTransceiver(video, { direction: 'sendonly', streams: [media], sendEncodings: [{ ...common, maxBitrate: this.#maxBitrate }] });
    twin.setCodecPreferences(twins);
    senders.twin = twin.sender;
    return senders;
  }

  /** @protected @override @param {string} sdp */
  adjustOffer(sdp) { return this.#twin ? withTwin(sdp) : sdp; }

  /** @protected @override @param {string} sdp */
  adjustAnswer(sdp) {
    if (this.#startBitrate === false) return sdp;
    // Upper layers are not sent before the estimate carries them, so that with several it begins near their sum.
    const usual = this.#layersBitrate ? 0.9 * this.#layersBitrate / 1_000 : startBitrate(this.#maxBitrate);
    return withStartBitrate(sdp, this.#startBitrate === undefined ? usual : this.#startBitrate / 1_000);
  }

  /** @protected @override */
  onEnd() { this.#watched.abort(); }

  /** @param {'audio' | 'video'} kind @param {boolean} enabled */
  #enable(kind, enabled) {
    for (const track of this.#media?.getTracks() ?? []) if (track.kind === kind) track.enabled = enabled;
  }

  #watchTracks() {
    this.#watched.abort();
    this.#watched = new AbortController();
    for (const track of this.#media?.getTracks() ?? []) {
      track.addEventListener('ended', () => {
        this.dispatchEvent(new CustomEvent('sourceended', { detail: { kind: kindOf(track), track } }));
      }, { signal: this.#watched.signal });
    }
  }
}

/** Resolves when a connection has sent a key frame of every encoding that it sends. @param {RTCPeerConnection} pc */
async function keyFramesSent(pc) {
  const until = performance.now() + KEY_FRAMES_WITHIN_MS;
  while (performance.now() < until) {
    /** @type {Record<string, any>[]} */
    const pictures = [];
    (await pc.getStats()).forEach((entry) => { if (entry.type === 'outbound-rtp' && entry.kind === 'video' && entry.active !== false) pictures.push(entry); });
    if (pictures.every(({ keyFramesEncoded, framesEncoded, packetsSent }) => (keyFramesEncoded ?? framesEncoded) > 0 && packetsSent > 0)) break;
    await pause(100, new AbortController().signal);
  }
  await pause(ARRIVED_AFTER_MS, new AbortController().signal);
}

/** @param {MediaStreamTrack} track @returns {'audio' | 'video'} */
const kindOf = (track) => (track.kind === 'audio' ? 'audio' : 'video');
