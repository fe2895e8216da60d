// A publisher's data channel: it outlives the connections that carry it.

import { CorecastError } from './errors.js';

/**
 * @typedef {object} ChannelOptions
 * @property {boolean} [ordered] messages arrive in the order of sending; true
 * @property {number} [maxRetransmits] how often a lost message is sent again; without, until it arrives
 * @property {number} [maxPacketLifeTime] the same in milliseconds
 * @property {boolean} [retain] viewers that come later get the last message; false
 */

/** The protocol by which a node knows that a channel's last message is kept. */
const RETAIN = 'corecast.retain';
/** Bytes of the longest message that a node relays. */
const MESSAGE_BYTES_MAX = 16 * 1024;

export class Channel {
  #label;
  #options;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** What viewers that come later are to have, also over a new connection. @type {string | ArrayBuffer | null} */
  #last = null;
  #heard;

  /** @param {string} label @param {ChannelOptions} options @param {(data: string | ArrayBuffer) => void} heard what a viewer said on it */
  constructor(label, options, heard) {
    this.#label = label;
    this.#options = options;
    this.#heard = heard;
  }

  get label() { return this.#label; }

  /** Whether a message can be sent now. */
  get open() { return this.#channel?.readyState === 'open'; }

  /**
   * Sends a message to all viewers: text, or bytes of at most 16 KiB, 64 a second. Where `retain` was asked for, it is kept
   * until the channel is open.
   *
   * @param {string | ArrayBuffer} message
   * @returns {boolean} whether it was sent
   */
  send(message) {
    check(message, MESSAGE_BYTES_MAX);
    if (this.#options.retain) this.#last = message;
    if (!this.open) return false;
    send(/** @type {RTCDataChannel} */ (this.#channel), message);
    return true;
  }

  /** Opens it over a connection, in place of the one before. @param {RTCPeerConnection} pc */
  openOn(pc) { this.openBeside(pc)(); }

  /** Opens it over a second connection as well. @param {RTCPeerConnection} pc @returns {() => void} from then on it is the one that is used */
  openBeside(pc) {
    const { retain, ...options } = this.#options;
    const channel = pc.createDataChannel(this.#label, { ...options, ...(retain ? { protocol: RETAIN } : {}) });
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('message', ({ data }) => this.#heard(data));
    channel.addEventListener('open', () => { if (this.#last !== null) send(channel, this.#last); });
    return () => { this.#channel = channel; };
  }
}

/** Throws where a message is longer than a node takes. @param {string | ArrayBuffer} message @param {number} bytesMax */
export function check(message, bytesMax) {
  const bytes = typeof message === 'string' ? new TextEncoder().encode(message).length : message.byteLength;
  if (bytes > bytesMax) throw new CorecastError('message_too_long', `A message of ${bytes} bytes is not relayed: send at most ${bytesMax}`, { final: true });
}

/** @param {RTCDataChannel} channel @param {string | ArrayBuffer} message */
export function send(channel, message) {
  if (typeof message === 'string') channel.send(message);
  else channel.send(message);
}
