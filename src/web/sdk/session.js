// What publishers and viewers share: a session that stays connected. It has one connection at a time, which is replaced
// after growing waits when it is lost, and gives the page its state, events and statistics.

import { Backoff, pause } from './backoff.js';
import { Connection } from './connection.js';
import { Emitter } from './emitter.js';
import { CorecastError } from './errors.js';
import { Meter } from './stats.js';
import { secondConnection } from './rekey.js';
import { nodeUrl, transport } from './transport.js';

/** After a connection that lasted this long, waits begin again with the shortest. */
const GOOD_AFTER_MS = 10_000;
/** Ends after which nothing is tried again: somebody else decided so, and would have to decide it once more. */
const FOR_GOOD = new Set(['operator', 'replaced', 'resumed_elsewhere']);

/** Whether it is a TURN server. @param {RTCIceServer} server */
const isRelay = ({ urls }) => [urls].flat().some((url) => /^turns?:/i.test(url));

/**
 * @typedef {import('./stats.js').Stats} Stats
 *
 * @typedef {object} SessionOptions
 * @property {string} [url] the node, like `https://node.example`; the page's own origin
 * @property {string} stream the stream's name
 * @property {import('./transport.js').Token} [token] a JWT, or a function that gives one: it is asked before each connection
 * @property {'auto' | 'websocket' | 'http' | 'whip' | 'whep'} [transport] `auto`: a WebSocket where the node has one, else WHIP and WHEP (`http`)
 * @property {false | import('./backoff.js').BackoffOptions} [reconnect] how long to wait before a new connection; false: the first loss is the end
 * @property {number} [statsIntervalMs] 1,000
 * @property {number} [keyLifetimeS] over HTTP, where a node cannot ask for it: the age in seconds at which the session's keys are changed; 3,600, a tenth more or less; 0: never
 * @property {RTCIceServer[]} [iceServers] besides those the node names; used at once, where the node's TURN servers wait half a second for a way without them
 * @property {RTCIceTransportPolicy} [iceTransportPolicy]
 *
 * @typedef {'idle' | 'connecting' | 'connected' | 'reconnecting' | 'failed'} SessionState
 *
 * @typedef {object} SessionEvents
 * @property {{ state: SessionState, error: CorecastError | null }} state on every change
 * @property {{ pc: RTCPeerConnection }} peer a new connection, before its offer is made
 * @property {{ via: 'http' | 'websocket' }} connected media can flow
 * @property {{ error: CorecastError }} disconnected the connection was lost
 * @property {{ attempt: number, delayMs: number, error: CorecastError }} reconnecting another will be made after the wait
 * @property {Record<string, never>} restarted ICE was restarted: the session goes on over the network there is now
 * @property {{ count: number }} rekeyed another connection with other keys carries the session, the `count`th time
 * @property {{ error: CorecastError }} rekeyfailed the keys were not changed; the session goes on with those it has, and it is tried again
 * @property {{ up: boolean }} signalling the socket was lost (media goes on), or taken up again
 * @property {{ inSeconds: number }} goingaway the node is about to end
 * @property {{ reason: string, detail: string }} ended by `close()` (`closed`), or for good by the node
 * @property {{ error: CorecastError }} error it cannot go on; the state is `failed`
 * @property {Stats} stats every second
 */

/**
 * One run of a session, from its start until it is stopped.
 *
 * @typedef {object} Run
 * @property {AbortController} stop
 * @property {Connection | null} connection
 * @property {RTCPeerConnection | null} pc
 * @property {() => void} hurry
 * @property {AbortController | null} rekeying there is a second connection
 * @property {number} rekeys
 */

/**
 * What becomes of the media while a second connection takes the session over.
 *
 * @typedef {object} Takeover
 * @property {() => Promise<void>} begin the second connection is connected: resolves when its media is in use
 * @property {() => Promise<void> | void} finish the first one is about to be closed
 * @property {() => void} cancel there is no second connection any more
 */

/**
 * @template {SessionEvents} [Events=SessionEvents]
 * @extends {Emitter<Events>}
 */
export class Session extends Emitter {
  #direction;
  #options;
  #transport;
  /** @type {Run | null} */
  #run = null;
  /** @type {SessionState} */
  #state = 'idle';
  /** @type {CorecastError | null} */
  #error = null;
  /** @type {Stats | null} */
  #stats = null;
  #meter = new Meter();

  /** @param {import('./transport.js').Direction} direction @param {SessionOptions} options */
  constructor(direction, options) {
    super();
    this.#direction = direction;
    this.#options = options;
    this.#transport = transport(options.transport ?? 'auto', nodeUrl(options.url), options.token);
  }

  /** The stream's name. */
  get stream() { return this.#options.stream; }

  get state() { return this.#state; }

  /** Why it failed, or why it reconnects; null while all is well. */
  get error() { return this.#error; }

  /** The present RTCPeerConnection, for what the SDK does not offer. */
  get pc() { return this.#run?.pc ?? null; }

  /** The last statistics; null before there are any. */
  get stats() { return this.#stats; }

  /** Ends the session, here and on the node. It can be started again. */
  close() {
    if (this.#run) this.#finish(this.#run, 'closed', '');
  }

  /** Replaces the connection at once, for changes that a running one does not allow. */
  async renew() {
    if (this.#run) await this.begin();
  }

  /** Adds the media that the connection carries. @protected @param {RTCPeerConnection} pc @returns {void | Promise<void>} */
  prepare(pc) { void pc; }

  /**
   * Adds the media that a second connection carries, beside the one in use. @protected @param {RTCPeerConnection} pc
   * @returns {Takeover | Promise<Takeover>}
   */
  prepareSecond(pc) { void pc; return { begin: async () => {}, finish: () => {}, cancel: () => {} }; }

  /** @protected @param {string} sdp the browser's offer @returns {string} the offer as the node is sent it */
  adjustOffer(sdp) { return sdp; }

  /** @protected @param {string} sdp the node's answer @returns {string} the answer as it is applied */
  adjustAnswer(sdp) { return sdp; }

  /** @protected @param {boolean} live as the node says */
  onLive(live) { void live; }

  /** The session is open on the node, which answers requests about it. @protected @param {import('./transport.js').Accepted} accepted */
  onAccepted(accepted) { void accepted; }

  /** @protected @param {Record<string, any>} layers as the node says */
  onLayers(layers) { void layers; }

  /** The socket was lost, or taken up again. @protected @param {boolean} up */
  onSignalling(up) { void up; }

  /** @protected @param {Stats} stats */
  onStats(stats) { void stats; }

  /** The run has ended. @protected */
  onEnd() {}

  /**
   * Starts. Resolves when connected for the first time, rejects if that will not happen.
   *
   * @protected
   * @returns {Promise<void>}
   */
  begin() {
    this.#stop();
    /** @type {Run} */
    const run = (this.#run = { stop: new AbortController(), connection: null, pc: null, hurry: () => {}, rekeying: null, rekeys: 0 });
    const { signal } = run.stop;
    this.#watchPage(run);
    const timer = setInterval(() => { this.#measure(run); }, this.#options.statsIntervalMs ?? 1_000);
    signal.addEventListener('abort', () => clearInterval(timer));
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
      this.#keep(run, resolve).catch((thrown) => {
        if (this.#run !== run) return;
        const error = thrown instanceof CorecastError ? thrown : new CorecastError('failed', thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown, final: true });
        reject(error);
        this.#stop(error);
        this.#enter('failed', error);
        this.onEnd();
        this.tell('error', { error });
      });
    });
  }

  /**
   * @template {keyof SessionEvents} Name
   * @protected
   * @param {Name} name
   * @param {SessionEvents[Name]} detail
   */
  tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

  /** @param {SessionState} state @param {CorecastError | null} error */
  #enter(state, error = null) {
    if (state === this.#state && error === this.#error) return;
    this.#state = state;
    this.#error = error;
    this.tell('state', { state, error });
  }

  /** @param {unknown} [reason] */
  #stop(reason = new CorecastError('session_ended', 'The session was ended')) {
    const run = this.#run;
    this.#run = null;
    if (!run) return;
    run.stop.abort(reason);
    this.#drop(run);
    this.#stats = null;
  }

  /** @param {Run} run @param {string} reason @param {string} detail */
  #finish(run, reason, detail) {
    if (this.#run !== run) return;
    this.#stop();
    this.#enter('idle');
    this.onEnd();
    this.tell('ended', { reason, detail });
  }

  /** @param {Run} run */
  #drop(run) {
    run.rekeying?.abort();
    run.connection?.close();
    run.pc?.close();
    run.connection = null;
    run.pc = null;
  }

  /** @param {Run} run @param {() => void} arrived */
  async #keep(run, arrived) {
    const { signal } = run.stop;
    const backoff = new Backoff(this.#options.reconnect || {});
    let wasConnected = false;
    while (!signal.aborted) {
      let connectedAt = 0;
      let error;
      try {
        const isAgain = wasConnected || backoff.attempt > 0;
        this.#enter(isAgain ? 'reconnecting' : 'connecting', isAgain ? this.#error : null);
        const { connection, via } = await this.#connect(run);
        connectedAt = Date.now();
        wasConnected = true;
        this.#enter('connected');
        arrived();
        this.tell('connected', { via });
        error = await this.#lost(run, connection);
        if (signal.aborted) return;
        this.tell('disconnected', { error });
      } catch (thrown) {
        if (signal.aborted) return;
        if (!(thrown instanceof CorecastError)) throw thrown;
        error = thrown;
      }
      this.#drop(run);
      if (FOR_GOOD.has(error.code)) return this.#finish(run, error.code, error.message);
      // A taken name may be our own session, whose loss the node has not noticed yet. A node that is starting may not know
      // its paths yet.
      const passing = (error.status === 409 || error.status === 404) && (wasConnected || backoff.attempt > 0);
      if (this.#options.reconnect === false || (error.final && !passing)) throw error;
      if (connectedAt > 0 && Date.now() - connectedAt > GOOD_AFTER_MS) backoff.reset();
      const delayMs = backoff.next(error.retryAfterMs);
      this.#enter('reconnecting', error);
      this.tell('reconnecting', { attempt: backoff.attempt, delayMs, error });
      await pause(delayMs, signal, (wake) => { run.hurry = wake; });
    }
  }

  /** One attempt: resolves when connected. @param {Run} run */
  async #connect(run) {
    if (!globalThis.RTCPeerConnection) throw new CorecastError('unsupported', 'This browser has no WebRTC', { final: true });
    const { iceServers = [], iceTransportPolicy = 'all' } = this.#options;
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers, iceTransportPolicy });
    run.pc = pc;
    await this.prepare(pc);
    this.tell('peer', { pc });
    const offer = await pc.createOffer();

    /** Notices from before the connection exists, kept until it does. @type {[reason: string, detail: string][]} */
    const early = [];
    /** @type {Connection | null} */
    let connection = null;
    /** @type {import('./transport.js').Notices} */
    const notices = {
      ended: (reason, detail) => { if (connection) (run.connection ?? connection).ended(reason, detail); else early.push([reason, detail]); },
      live: (live) => { if (this.#run === run) this.onLive(live); },
      goingAway: (inSeconds) => this.tell('goingaway', { inSeconds }),
      layers: (layers) => { if (this.#run === run) this.onLayers(layers); },
      rekey: () => { void this.#rekey(run); },
      rekeyFailed: () => run.rekeying?.abort(),
      signalling: (up) => {
        if (this.#run === run) this.onSignalling(up);
        this.tell('signalling', { up });
      },
    };
    const accepted = await this.#transport.open({ direction: this.#direction, stream: this.stream, offer: this.adjustOffer(offer.sdp ?? ''), notices });
    if (run.stop.signal.aborted) {
      accepted.close();
      throw run.stop.signal.reason;
    }
    /** @type {RTCIceServer[]} */
    let relays = [];
    try {
      // ICE servers come with the answer, so gathering, which begins with the local description, waits for them. Browsers
      // connect to each TURN server as soon as they know of it, also where they need none: the connection tells of those
      // later, unless the page wants nothing but relays.
      relays = iceTransportPolicy === 'relay' ? [] : accepted.iceServers.filter(isRelay);
      const atOnce = accepted.iceServers.filter((server) => !relays.includes(server));
      if (atOnce.length) pc.setConfiguration({ ...pc.getConfiguration(), iceServers: [...iceServers, ...atOnce] });
      await pc.setLocalDescription(offer);
      await pc.setRemoteDescription({ type: 'answer', sdp: this.adjustAnswer(accepted.sdp) });
    } catch (error) {
      accepted.close();
      throw error;
    }
    run.connection = connection = new Connection(pc, accepted, relays);
    this.onAccepted(accepted);
    connection.onrestart = () => this.tell('restarted', {});
    for (const [reason, detail] of early) connection.ended(reason, detail);
    await connection.connected;
    return { connection, via: accepted.via };
  }

  /** Waits until the connection that carries the session is lost, whichever it is by then. @param {Run} run @param {Connection} connection */
  async #lost(run, connection) {
    const timer = connection.accepted.via === 'http' ? this.#rekeyInTime(run) : undefined;
    try {
      for (;;) {
        const error = await connection.lost;
        if (run.connection === null || run.connection === connection || run.stop.signal.aborted) return error;
        connection = run.connection;
      }
    } finally {
      clearInterval(timer);
    }
  }

  /** Over HTTP nobody says that keys are old. @param {Run} run */
  #rekeyInTime(run) {
    const seconds = this.#options.keyLifetimeS ?? 3_600;
    return seconds > 0 ? setInterval(() => { void this.#rekey(run); }, 1_000 * seconds * (0.9 + 0.2 * Math.random())) : undefined;
  }

  /**
   * Changes the session's SRTP keys now: a second connection is made, takes the media over without a gap, and the first one is
   * closed. Resolves with whether it was done. The node asks for it by itself when keys are old.
   *
   * @returns {Promise<boolean>}
   */
  async rekey() { return this.#run ? this.#rekey(this.#run) : false; }

  /** @param {Run} run */
  async #rekey(run) {
    const first = run.connection;
    if (this.#run !== run || !first || run.rekeying || this.#state !== 'connected') return false;
    const stop = (run.rekeying = new AbortController());
    try {
      const second = await secondConnection(first, {
        prepare: (pc) => this.prepareSecond(pc),
        tell: (pc) => this.tell('peer', { pc }),
        offer: (sdp) => this.adjustOffer(sdp),
        answer: (sdp) => this.adjustAnswer(sdp),
        use: (connection) => { [run.connection, run.pc] = [connection, connection.pc]; connection.onrestart = first.onrestart; },
      }, stop.signal);
      if (!second) return false;
      run.rekeys += 1;
      this.tell('rekeyed', { count: run.rekeys });
      return true;
    } catch (thrown) {
      if (run.stop.signal.aborted) return false;
      const error = thrown instanceof CorecastError ? thrown : new CorecastError('rekey_failed', 'The keys were not changed', { cause: thrown });
      this.tell('rekeyfailed', { error });
      return false;
    } finally {
      run.rekeying = null;
    }
  }

  /** @param {Run} run */
  async #measure(run) {
    const { pc } = run;
    if (!pc || pc.connectionState === 'closed') return;
    const stats = await this.#meter.read(pc, this.#direction).catch(() => null);
    if (!stats || run.pc !== pc) return;
    this.#stats = stats;
    this.onStats(stats);
    this.tell('stats', stats);
  }

  /** @param {Run} run */
  #watchPage(run) {
    if (typeof globalThis.addEventListener !== 'function') return;
    const { signal } = run.stop;
    const changed = () => {
      run.hurry();
      this.#transport.hurry();
      run.connection?.networkChanged();
    };
    // The node would notice by itself, but only after seconds, and another publisher may be waiting for the name.
    globalThis.addEventListener('pagehide', () => this.close(), { signal });
    globalThis.addEventListener('online', changed, { signal });
    // `change` is also fired for each new estimate of the speed. Only a change of the kind of network counts.
    /** @type {(EventTarget & { type?: string }) | undefined} */
    const network = /** @type {any} */ (globalThis.navigator)?.connection;
    let kind = network?.type;
    network?.addEventListener('change', () => {
      if (network.type === kind) return;
      kind = network.type;
      if (kind !== 'none') changed();
    }, { signal });
  }
}
