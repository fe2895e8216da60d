// WHIP (RFC 9725) and WHEP: one POST opens a session, its URL restarts ICE (PATCH) and ends it (DELETE).

import { CorecastError, fromResponse, unreachable } from './errors.js';
import { iceServers } from './sdp.js';

/** A node that has not answered within this time counts as not answering. */
const ANSWER_WITHIN_MS = 15_000;
/** The status of a session that is not to be opened again. */
const GONE = 410;

/**
 * @typedef {import('./transport.js').Accepted} Accepted
 * @typedef {import('./transport.js').OpenRequest} OpenRequest
 * @typedef {import('./transport.js').Token} Token
 * @typedef {import('./transport.js').Transport} Transport
 */

/** @implements {Transport} */
export class HttpTransport {
  #url;
  #token;

  /** @param {string} url the node @param {Token | undefined} token */
  constructor(url, token) {
    this.#url = url;
    this.#token = token;
  }

  /** @param {OpenRequest} request @returns {Promise<Accepted>} */
  async open({ direction, stream, offer }) {
    const endpoint = `${this.#url}/${direction === 'publish' ? 'whip' : 'whep'}/${encodeURIComponent(stream)}`;
    const headers = await this.#headers({ 'content-type': 'application/sdp' });
    const response = await call(endpoint, { method: 'POST', headers, body: offer });
    if (response.status !== 201) throw await fromResponse(response);
    const location = response.headers.get('location');
    if (!location) throw new CorecastError('no_location', 'The node opened a session and did not say where', { hint: 'Its CORS headers must expose Location.', final: true });
    const session = new URL(location, response.url || endpoint).href;
    return {
      via: 'http',
      sdp: await response.text(),
      iceServers: iceServers(response.headers.get('link')),
      restart: (fragment) => this.#restart(session, fragment),
      whyEnded: () => this.#whyEnded(session),
      close: () => { this.#close(session, headers.authorization); },
    };
  }

  hurry() { /* each request opens its own connection */ }

  /** @param {string} session @param {string} fragment */
  async #restart(session, fragment) {
    // RFC 9725 §4.3.3: a restart matches any state of the session.
    const headers = await this.#headers({ 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' });
    const response = await call(session, { method: 'PATCH', headers, body: fragment });
    if (response.status !== 200) throw await fromResponse(response);
    return response.text();
  }

  /** A fragment that changes nothing: what matters is how it is refused. @param {string} session @returns {Promise<CorecastError | null>} */
  async #whyEnded(session) {
    const headers = await this.#headers({ 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' });
    const response = await call(session, { method: 'PATCH', headers, body: 'a=end-of-candidates\r\n' });
    return response.status === GONE ? fromResponse(response) : null;
  }

  /** @param {string} session @param {string | undefined} authorization the one with which the session was opened, because a page that is being left cannot wait for a new one */
  #close(session, authorization) {
    fetch(session, { method: 'DELETE', keepalive: true, headers: authorization ? { authorization } : {} }).catch(() => {});
  }

  /** @param {Record<string, string>} headers @returns {Promise<Record<string, string>>} */
  async #headers(headers) {
    const token = typeof this.#token === 'function' ? await this.#token() : this.#token;
    return token ? { ...headers, authorization: `Bearer ${token}` } : headers;
  }
}

/** @param {string} url @param {RequestInit} init @returns {Promise<Response>} */
async function call(url, init) {
  try {
    return await fetch(url, { ...init, cache: 'no-store', signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  } catch (error) {
    throw unreachable(url, error);
  }
}
