// How an offer reaches the node: by WebSocket if the node has one, else by WHIP and WHEP, or as the app chooses.

import { CorecastError } from './errors.js';
import { HttpTransport } from './http.js';
import { Signalling, WebSocketTransport } from './websocket.js';

/**
 * @typedef {'publish' | 'play'} Direction
 *
 * @typedef {string | (() => string | Promise<string>)} Token a JWT, or what gives one each time it is needed
 *
 * @typedef {object} Notices what the node says without being asked; most of it only over a WebSocket
 * @property {(reason: string, detail: string) => void} ended the session is over
 * @property {(live: boolean) => void} live the stream has a publisher, or has none
 * @property {(inSeconds: number) => void} goingAway the node is about to end
 * @property {(layers: Record<string, any>) => void} layers what there is of the picture, and what is sent, has changed
 * @property {() => void} rekey the session's keys are old: a second connection is to take it over
 * @property {(reason: string, detail: string) => void} rekeyFailed the second connection has ended, and the session goes on with the first
 * @property {(up: boolean) => void} signalling the socket was lost, or taken up again; media goes on
 *
 * @typedef {object} OpenRequest
 * @property {Direction} direction
 * @property {string} stream
 * @property {string} offer SDP
 * @property {Notices} notices
 *
 * @typedef {object} Accepted what the node gave for an offer
 * @property {string} sdp the answer
 * @property {RTCIceServer[]} iceServers
 * @property {'http' | 'websocket'} via
 * @property {(fragment: string) => Promise<string>} restart an ICE restart: fragments (RFC 8840) there and back
 * @property {(request: import('./layers.js').LayerRequest) => Promise<void>} layer asks for another encoding of the picture; from then on `notices.layers` tells what there is
 * @property {(offer: string) => Promise<{ sdp: string, iceServers: RTCIceServer[] }>} rekey offers a second connection for the session
 * @property {() => void} switched the second connection is in use, and the first one ends
 * @property {() => Promise<import('./errors.js').CorecastError | null>} whyEnded asked when the node has ended the session: why, if that can be found out
 * @property {() => void} close ends the session; neither waits nor throws, for a page that is being left
 *
 * @typedef {object} Transport
 * @property {(request: OpenRequest) => Promise<Accepted>} open
 * @property {() => void} hurry the network may be another: look now
 */

/** Nodes that turned out to have no WebSocket. They are asked once per page load. @type {Set<string>} */
const withoutSocket = new Set();

/**
 * @param {'auto' | 'websocket' | 'http' | 'whip' | 'whep'} kind
 * @param {string} url the node
 * @param {Token | undefined} token
 * @returns {Transport}
 */
export function transport(kind, url, token) {
  if (kind === 'websocket') return new WebSocketTransport(url, token);
  if (kind !== 'auto') return new HttpTransport(url, token);
  return new AutoTransport(url, token);
}

/** @implements {Transport} */
class AutoTransport {
  #url;
  #socket;
  #http;

  /** @param {string} url @param {Token | undefined} token */
  constructor(url, token) {
    this.#url = url;
    this.#socket = new WebSocketTransport(url, token);
    this.#http = new HttpTransport(url, token);
  }

  /** @param {OpenRequest} request */
  async open(request) {
    if (withoutSocket.has(this.#url) || !globalThis.WebSocket) return this.#http.open(request);
    try {
      return await this.#socket.open(request);
    } catch (error) {
      // HTTP is tried only if no socket to this node has ever opened. A refusal would be the same over HTTP.
      if (Signalling.hasOpened(this.#url) || !(error instanceof CorecastError) || error.status !== 0) throw error;
      const accepted = await this.#http.open(request);
      withoutSocket.add(this.#url);
      return accepted;
    }
  }

  hurry() { this.#socket.hurry(); }
}

/**
 * The node's address without trailing slashes; the page's own origin if none is given.
 *
 * @param {string | undefined} url
 * @returns {string}
 */
export function nodeUrl(url) {
  const given = url ?? globalThis.location?.origin;
  try {
    const { protocol, href } = new URL(given);
    if (/^https?:$/.test(protocol)) return href.replace(/\/+$/, '');
  } catch { /* reported below */ }
  throw new CorecastError('bad_url', `${JSON.stringify(given)} is not the address of a node`, { final: true });
}
