// Signalling over one WebSocket per node and token, shared by all publishers and viewers of the page (the protocol is in
// src/signal/README.md of the node's source). If a socket drops, a new one takes its sessions over with their
// secrets; media is not affected.
//
// Left out: `candidate` messages. The node is ICE-lite and its answers contain its candidates, so none are sent or awaited.

import { Backoff, pause } from './backoff.js';
import { CorecastError, fromProblem, unreachable } from './errors.js';

const SUBPROTOCOL = 'corecast.v1';
const OPEN_WITHIN_MS = 8_000;
const ANSWER_WITHIN_MS = 15_000;
/** A socket that does not answer a ping within this time is dead, whatever the browser reports. */
const PONG_WITHIN_MS = 8_000;
/** A socket that was silent for this long is pinged before it is relied on. */
const QUIET_MS = 3_000;
/** It has this long to answer, because a network that is gone reports nothing. */
const ALIVE_WITHIN_MS = 2_500;
/** How long the reason of an end may come after the end itself. */
const NOTICE_WITHIN_MS = 500;
/** How long a socket stays open without a session, because the next one often follows at once. */
const LINGER_MS = 3_000;

/**
 * @typedef {import('./transport.js').Accepted} Accepted
 * @typedef {import('./transport.js').Notices} Notices
 * @typedef {import('./transport.js').OpenRequest} OpenRequest
 * @typedef {import('./transport.js').Token} Token
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {Record<string, any>} Message
 * @typedef {{ resolve: (message: any) => void, reject: (error: CorecastError) => void, accept: (message: Message) => any }} Waiting
 * @typedef {{ secret: string, stream: string, notices: Notices }} Held
 */

/** @implements {Transport} */
export class WebSocketTransport {
  #url;
  #token;

  /** @param {string} url the node @param {Token | undefined} token */
  constructor(url, token) {
    this.#url = url;
    this.#token = token;
  }

  /** @param {OpenRequest} request @returns {Promise<Accepted>} */
  async open(request) {
    const signalling = Signalling.shared(this.#url, this.#token);
    return signalling.open(request);
  }

  hurry() { Signalling.shared(this.#url, this.#token).hurry(); }
}

/** One socket, opened when it is needed and kept while it has sessions. */
export class Signalling {
  /** All of them, by node and token. @type {Map<string, Map<Token | undefined, Signalling>>} */
  static #all = new Map();
  /** Nodes whose WebSocket has opened once. @type {Set<string>} */
  static #opened = new Set();

  /** @param {string} url @param {Token | undefined} token */
  static shared(url, token) {
    const ofNode = this.#all.get(url) ?? new Map();
    this.#all.set(url, ofNode);
    const found = ofNode.get(token) ?? new Signalling(url, token);
    ofNode.set(token, found);
    return found;
  }

  /** @param {string} url */
  static hasOpened(url) { return this.#opened.has(url); }

  #url;
  #token;
  /** The token with which the socket was welcomed. */
  #shown = '';
  #backoff;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Promise<Message> | null} the node's welcome, while a socket is open or being opened */
  #welcome = null;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  /** @type {Map<string, Held>} */
  #sessions = new Map();
  /** Sessions that were closed here, until the node confirms. If the socket drops before that, the next one resumes them to close them. @type {Map<string, string>} */
  #leaving = new Map();
  /** When the last message from the node came. */
  #heardMs = 0;
  /** Whether each stream was live, according to the node's last message. @type {Map<string, boolean>} */
  #live = new Map();
  #nextId = 1;
  #resuming = false;
  #wake = () => {};
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #pings;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #lingering;

  /** @param {string} url @param {Token | undefined} [token] @param {import('./backoff.js').BackoffOptions} [backoff] */
  constructor(url, token, backoff = { firstMs: 250, mostMs: 5_000 }) {
    this.#url = url;
    this.#token = token;
    this.#backoff = new Backoff(backoff);
  }

  /** Opens a session. @param {OpenRequest} request @returns {Promise<Accepted>} */
  async open({ direction, stream, offer, notices }) {
    clearTimeout(this.#lingering);
    const before = this.#welcome;
    await this.#alive();
    const type = direction === 'publish' ? 'publish' : 'subscribe';
    try {
      // An existing socket was welcomed with an earlier token, which may have expired or belong to another user.
      const token = before !== null && before === this.#welcome ? await this.#tokenOfNow() : this.#shown;
      const shows = token && token !== this.#shown ? { token } : {};
      return await this.#request({ type, stream, sdp: offer, trickle: false, ...shows }, (answer) => {
        const session = String(answer.session);
        // This must happen in the same task, because the next message may be about this session.
        this.#sessions.set(session, { secret: answer.secret, stream, notices });
        const live = this.#live.get(stream);
        if (live !== undefined) queueMicrotask(() => notices.live(live));
        return {
          via: 'websocket',
          sdp: answer.sdp,
          iceServers: answer.ice_servers ?? [],
          restart: async (/** @type {string} */ fragment) => {
            // If the path of media is gone, that of the socket may be too, however recently it was heard.
            await this.#alive(0);
            return this.#request({ type: 'restart', session, fragment }, (restarted) => restarted.fragment);
          },
          layer: async (/** @type {import('./layers.js').LayerRequest} */ request) => {
            await this.#alive();
            await this.#request({ type: 'layer', session, ...request }, () => {});
          },
          rekey: async (/** @type {string} */ second) => {
            await this.#alive();
            return this.#request({ type: 'rekey', session, sdp: second }, ({ sdp, ice_servers: iceServers = [] }) => ({ sdp, iceServers }));
          },
          switched: () => this.#send({ type: 'switched', session }),
          // The node says it without being asked, and DTLS may be faster than its word.
          whyEnded: () => new Promise((resolve) => { setTimeout(() => resolve(null), NOTICE_WITHIN_MS); }),
          close: () => this.#release(session),
        };
      });
    } finally {
      this.#linger();
    }
  }

  async #tokenOfNow() { return (typeof this.#token === 'function' ? await this.#token() : this.#token) ?? ''; }

  /** The network may have changed: a socket that waits to be opened is opened now, and an open one is pinged. */
  hurry() {
    this.#wake();
    if (this.#socket) this.#ping(ALIVE_WITHIN_MS);
  }

  /** Ends the socket and, by its close code, every session on it. */
  close() {
    clearTimeout(this.#lingering);
    this.#sessions.clear();
    this.#leaving.clear();
    this.#live.clear();
    const socket = this.#socket;
    this.#forget(new CorecastError('signalling_lost', 'The socket was closed'));
    socket?.close(1000);
  }

  /** The open socket's welcome. Opens a socket if there is none. @returns {Promise<Message>} */
  #ready() {
    this.#welcome ??= this.#connect();
    return this.#welcome;
  }

  /** The same, for a socket that is known to answer. @param {number} [quietMs] a socket that was heard within this time needs no ping @returns {Promise<Message>} */
  async #alive(quietMs = QUIET_MS) {
    if (this.#socket && this.#welcome && Date.now() - this.#heardMs >= quietMs) await this.#ping(ALIVE_WITHIN_MS);
    return this.#ready();
  }

  /** @returns {Promise<Message>} */
  async #connect() {
    const target = `${this.#url.replace(/^http/, 'ws')}/ws`;
    try {
      const token = await this.#tokenOfNow();
      this.#shown = token;
      const socket = await this.#socketTo(target);
      this.#socket = socket;
      Signalling.#opened.add(this.#url);
      const resume = [...this.#sessions, ...this.#leaving].map(([session, held]) => ({ session, secret: typeof held === 'string' ? held : held.secret }));
      const hello = { type: 'hello', version: 1, ...(token ? { token } : {}), ...(resume.length ? { resume } : {}) };
      const welcome = await this.#request(hello, (message) => {
        const kept = new Set((message.resumed ?? []).map(String));
        for (const { session } of resume) {
          const held = this.#sessions.get(session);
          if (this.#leaving.has(session)) this.#leave(session, kept.has(session));
          else if (kept.has(session)) held?.notices.signalling(true);
          else this.#ended(session, 'signalling_lost', 'the node gave the session up while signalling was away');
        }
        return message;
      });
      this.#backoff.reset();
      const idleMs = 1_000 * (Number(welcome.limits?.idle_s) || 60);
      clearInterval(this.#pings);
      this.#pings = setInterval(() => this.#ping(PONG_WITHIN_MS), Math.min(idleMs / 3, 20_000));
      return welcome;
    } catch (error) {
      const socket = this.#socket;
      const failure = error instanceof CorecastError ? error : unreachable(target, error);
      this.#forget(failure);
      socket?.close(1000);
      throw failure;
    }
  }

  /** @param {string} target @returns {Promise<WebSocket>} open */
  #socketTo(target) {
    return new Promise((resolve, reject) => {
      const socket = new globalThis.WebSocket(target, SUBPROTOCOL);
      const late = setTimeout(() => { reject(unreachable(target, new Error('timeout'))); socket.close(); }, OPEN_WITHIN_MS);
      socket.onopen = () => { clearTimeout(late); resolve(socket); };
      socket.onerror = () => { clearTimeout(late); reject(unreachable(target, new Error('the handshake failed'))); };
      socket.onmessage = ({ data }) => { if (socket === this.#socket) this.#receive(String(data)); };
      socket.onclose = ({ code, reason }) => {
        clearTimeout(late);
        reject(closed(code, reason));
        if (socket === this.#socket) this.#lost(closed(code, reason));
      };
    });
  }

  /**
   * @template Result
   * @param {Message} message
   * @param {(answer: Message) => Result} accept is called as the answer arrives, before any message after it
   * @param {number} [withinMs]
   * @returns {Promise<Result>}
   */
  #request(message, accept, withinMs = ANSWER_WITHIN_MS) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new CorecastError('signalling_lost', `The node did not answer ${message.type}`));
      }, withinMs);
      const settled = () => { clearTimeout(late); this.#waiting.delete(id); };
      this.#waiting.set(id, {
        accept,
        resolve: (result) => { settled(); resolve(result); },
        reject: (error) => { settled(); reject(error); },
      });
      this.#send({ ...message, id });
    });
  }

  /** @param {Message} message */
  #send(message) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  /** @param {string} text */
  #receive(text) {
    this.#heardMs = Date.now();
    /** @type {Message} */
    let message;
    try { message = JSON.parse(text); } catch { return; }
    const waiting = this.#waiting.get(message.id);
    if (waiting) {
      if (message.type === 'error') waiting.reject(fromProblem(message));
      else waiting.resolve(waiting.accept(message));
      return;
    }
    const session = message.session === undefined ? undefined : String(message.session);
    switch (message.type) {
      case 'ended':
        if (session !== undefined) this.#ended(session, String(message.reason), String(message.detail ?? ''));
        break;
      case 'error':
        if (session !== undefined && message.code === 'resumed_elsewhere') this.#ended(session, message.code, String(message.detail ?? ''));
        break;
      case 'stream':
        this.#live.set(message.stream, Boolean(message.live));
        for (const held of this.#sessions.values()) if (held.stream === message.stream) held.notices.live(Boolean(message.live));
        break;
      case 'layers':
        if (session !== undefined) this.#sessions.get(session)?.notices.layers(message);
        break;
      case 'rekey':
        if (session !== undefined) this.#sessions.get(session)?.notices.rekey();
        break;
      case 'rekey_failed':
        if (session !== undefined) this.#sessions.get(session)?.notices.rekeyFailed(String(message.reason), String(message.detail ?? ''));
        break;
      case 'going_away':
        for (const held of this.#sessions.values()) held.notices.goingAway(Number(message.in_s) || 0);
        break;
      default: // `connected`, `moved`, `rekeyed` and `candidate`: the peer connection knows by itself
    }
  }

  /** @param {string} session @param {string} reason @param {string} detail */
  #ended(session, reason, detail) {
    const held = this.#sessions.get(session);
    this.#sessions.delete(session);
    this.#leaving.delete(session);
    held?.notices.ended(reason, detail);
    this.#linger();
  }

  /** @param {string} session */
  #release(session) {
    const held = this.#sessions.get(session);
    if (!held) return;
    this.#sessions.delete(session);
    this.#leaving.set(session, held.secret);
    this.#leave(session, true);
    this.#linger();
  }

  /** @param {string} session @param {boolean} known to the node */
  #leave(session, known) {
    if (!known) { this.#leaving.delete(session); return; }
    // If the node refuses, it no longer has the session. Without an answer the session is closed over the next socket, if there is
    // one within the node's grace; after the grace the node ends it.
    this.#request({ type: 'close', session }, () => {}).then(() => this.#leaving.delete(session), (error) => { if (error.status) this.#leaving.delete(session); });
  }

  /** Pings the node. Without an answer the socket counts as lost. @param {number} withinMs @returns {Promise<void>} */
  #ping(withinMs) {
    const socket = this.#socket;
    return this.#request({ type: 'ping' }, () => {}, withinMs).catch((error) => {
      if (socket === null || socket !== this.#socket) return;
      this.#lost(error);
      socket.close();
    });
  }

  /** @param {CorecastError} error */
  #lost(error) {
    this.#forget(error);
    if (this.#sessions.size === 0) return;
    for (const { notices } of this.#sessions.values()) notices.signalling(false);
    this.#resume();
  }

  /** The socket is gone, and every request over it fails. @param {CorecastError} error */
  #forget(error) {
    clearInterval(this.#pings);
    this.#socket = null;
    this.#welcome = null;
    for (const { reject } of [...this.#waiting.values()]) reject(error);
  }

  /** Tries to open a socket while there are sessions. The node's welcome says which of them have ended. */
  async #resume() {
    if (this.#resuming) return;
    this.#resuming = true;
    const never = new AbortController().signal;
    let retryAfterMs = 0;
    while (this.#sessions.size > 0 && this.#socket === null) {
      await pause(this.#backoff.next(retryAfterMs), never, (wake) => { this.#wake = wake; });
      if (this.#sessions.size === 0) break;
      try {
        await this.#ready();
      } catch (error) {
        const failure = /** @type {CorecastError} */ (error);
        retryAfterMs = failure.retryAfterMs;
        // A token that is refused now will be refused again. The node ends the sessions after its grace.
        if (failure.final) for (const session of [...this.#sessions.keys()]) this.#ended(session, failure.code, failure.message);
      }
    }
    this.#resuming = false;
  }

  /** Closes the socket some time after the last session has ended. */
  #linger() {
    clearTimeout(this.#lingering);
    if (this.#sessions.size > 0) return;
    this.#lingering = setTimeout(() => { if (this.#sessions.size === 0) this.close(); }, LINGER_MS);
    // Under Node's test runner a lingering socket must not keep the process alive.
    /** @type {any} */ (this.#lingering).unref?.();
  }
}

/** Why a socket closed (the protocol's close codes). @param {number} code @param {string} reason */
function closed(code, reason) {
  const text = reason ? `: ${reason}` : '';
  if (code === 4001) return new CorecastError('unauthorized', `The node does not accept the token${text}`, { status: 401 });
  if (code === 1013) return new CorecastError('too_many_sockets', `The node has as many sockets as it may${text}`, { status: 503, retryAfterMs: 2_000 });
  if (code === 1001) return new CorecastError('shutting_down', `The node is ending${text}`);
  return new CorecastError('signalling_lost', `The signalling socket closed (${code})${text}`);
}
