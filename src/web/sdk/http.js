// WHIP (RFC 9725) and WHEP: one POST opens a session, its URL restarts ICE (PATCH) and ends it (DELETE).

import { pause } from './backoff.js';
import { CorecastError, fromResponse, unreachable } from './errors.js';
import { fromEvent } from './layers.js';
import { iceServers, linked } from './sdp.js';

/** A node that has not answered within this time counts as not answering. */
const ANSWER_WITHIN_MS = 15_000;
/** The status of a session that is not to be opened again. */
const GONE = 410;
/** The node holds a question for events for 20 s. */
const EVENT_WITHIN_MS = 40_000;
/** After a question that failed. */
const EVENTS_AGAIN_MS = 2_000;
/** The relation of the first of a session's two connections. */
const OLD_TRANSPORT = 'urn:corecast:old-transport';
const EXTENSION = 'urn:ietf:params:whep:ext:core';

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
  async open({ direction, stream, offer, notices }) {
    const endpoint = `${this.#url}/${direction === 'publish' ? 'whip' : 'whep'}/${encodeURIComponent(stream)}`;
    const headers = await this.#headers({ 'content-type': 'application/sdp' });
    const response = await call(endpoint, { method: 'POST', headers, body: offer });
    if (response.status !== 201) throw await fromResponse(response);
    const location = response.headers.get('location');
    if (!location) throw new CorecastError('no_location', 'The node opened a session and did not say where', { hint: 'Its CORS headers must expose Location.', final: true });
    const session = new URL(location, response.url || endpoint).href;
    const link = response.headers.get('link');
    const below = (/** @type {string} */ name) => { const url = linked(link, `${EXTENSION}:${name}`); return url && new URL(url, session).href; };
    const [layerUrl, eventsUrl] = [below('layer'), below('server-sent-events')];
    const stop = new AbortController();
    let hears = false;
    /** What is deleted to end the first of two connections. @type {string | undefined} */
    let first;
    return {
      via: 'http',
      sdp: await response.text(),
      iceServers: iceServers(link),
      layer: async (request) => {
        if (!layerUrl) throw new CorecastError('no_layers', 'The server lets nobody choose');
        if (!hears && eventsUrl) {
          hears = true;
          await this.#post(eventsUrl, ['layers']);
          void this.#hear(eventsUrl, notices, stop.signal);
        }
        await this.#post(layerUrl, whepLayer(request));
      },
      restart: (fragment) => this.#restart(session, fragment),
      rekey: async (second) => {
        const headers = await this.#headers({ 'content-type': 'application/sdp' });
        const answer = await call(session, { method: 'POST', headers, body: second });
        if (answer.status !== 201) throw await fromResponse(answer);
        const link = answer.headers.get('link');
        const url = linked(link, OLD_TRANSPORT);
        first = url && new URL(url, session).href;
        return { sdp: await answer.text(), iceServers: iceServers(link) };
      },
      switched: () => { if (first) this.#close(first, headers.authorization); },
      whyEnded: () => this.#whyEnded(session),
      close: () => { stop.abort(); this.#close(session, headers.authorization); },
    };
  }

  hurry() { /* each request opens its own connection */ }

  /** @param {string} url @param {unknown} body */
  async #post(url, body) {
    const headers = await this.#headers({ 'content-type': 'application/json' });
    const response = await call(url, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!response.ok) throw await fromResponse(response);
  }

  /**
   * Asks for events, one after the other, until the session is over. An `EventSource` would do the same, but tells a page
   * nothing of why it was refused.
   *
   * @param {string} url @param {import('./transport.js').Notices} notices @param {AbortSignal} signal
   */
  async #hear(url, notices, signal) {
    let last = '0';
    while (!signal.aborted) {
      try {
        const headers = await this.#headers({ 'last-event-id': last });
        const response = await fetch(url, { headers, cache: 'no-store', signal: AbortSignal.any([signal, AbortSignal.timeout(EVENT_WITHIN_MS)]) });
        // 204 and 404: there will be none any more.
        if (response.status === 204 || response.status === 404) return;
        if (!response.ok) throw await fromResponse(response);
        const text = await response.text();
        last = /^id: *(\d+)$/m.exec(text)?.[1] ?? last;
        const data = /^data: *(.*)$/m.exec(text)?.[1];
        if (data) notices.layers(fromEvent(data));
      } catch {
        await pause(EVENTS_AGAIN_MS, signal);
      }
    }
  }

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

/** What WHEP has for what the socket is asked. @param {import('./layers.js').LayerRequest} request */
function whepLayer({ layer = 'auto', shown_height: shownHeight }) {
  const shown = shownHeight === undefined ? {} : { shownHeight };
  if (layer === 'auto') return shown;
  if (layer === 'none') return { soundOnly: true, ...shown };
  return 'rid' in layer ? { rid: layer.rid, ...shown } : { maxHeight: layer.height, ...shown };
}
