// One RTCPeerConnection with its session on the node: waits until it is connected, restarts ICE when the network changes
// or fails, and says when it is lost. `session.js` decides what happens then.

import { pause } from './backoff.js';
import { CorecastError } from './errors.js';
import { restartedAnswer, restartFragment } from './sdp.js';

const CONNECTED_WITHIN_MS = 15_000;
/** How long other ways are given before TURN is tried as well: UDP and TCP took 6 to 170 ms beside a round trip. */
const RELAYS_AFTER_MS = 500;
/** How long a connection may be disconnected before ICE is restarted: losing a few checks is no change of network. */
const DISCONNECTED_MS = 1_500;
/** A restart takes three round trips, but the network may first need a while to come back. */
const RESTARTED_WITHIN_MS = 10_000;
const RESTART_AGAIN_MS = 1_000;
/** How long the reason of an end is waited for. */
const REASON_WITHIN_MS = 2_000;

/** Reasons after which a new session would end in the same way. */
const FINAL_REASONS = new Set(['left', 'operator', 'replaced', 'resumed_elsewhere', 'unauthorized', 'forbidden']);

/** @type {Record<string, string>} */
const REASONS = {
  left: 'The session was ended', operator: 'The operator of the node ended the session',
  replaced: 'Another publisher took the stream’s name over',
  resumed_elsewhere: 'The session goes on in another page', shutting_down: 'The node is ending',
  no_publisher: 'Nobody published the stream for as long as a viewer may wait', timed_out: 'The node heard nothing for too long',
  leave_expired: 'The time it was allowed for is over', signalling_lost: 'Signalling was away for too long',
};

export class Connection {
  #pc;
  #accepted;
  /** @type {(error: CorecastError) => void} */
  #lose = () => {};
  /** @type {() => void} */
  #arrive = () => {};
  #stop = new AbortController();
  #relays;
  #restarting = false;
  #wasConnected = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #grace;

  /** Called after each ICE restart that the node accepted. */
  onrestart = () => {};

  /**
   * @param {RTCPeerConnection} pc with both descriptions
   * @param {import('./transport.js').Accepted} accepted
   * @param {RTCIceServer[]} [relays] TURN servers that the browser has not been told of: it is when nothing else connects
   */
  constructor(pc, accepted, relays = []) {
    this.#pc = pc;
    this.#accepted = accepted;
    this.#relays = relays;
    /** Resolves with the reason when the connection is over for good. @type {Promise<CorecastError>} */
    this.lost = new Promise((resolve) => { this.#lose = resolve; });
    const arrived = new Promise((resolve) => { this.#arrive = () => resolve(undefined); });
    const late = setTimeout(() => this.#lose(new CorecastError('no_media_path', 'No media path to the node was found')), CONNECTED_WITHIN_MS);
    /** Resolves when connected for the first time; rejects if that does not happen. @type {Promise<void>} */
    this.connected = Promise.race([arrived, this.lost.then((error) => { throw error; })]).then(() => {}).finally(() => clearTimeout(late));
    this.connected.catch(() => {});
    const { signal } = this.#stop;
    const alone = setTimeout(() => this.#tryRelays(), RELAYS_AFTER_MS);
    signal.addEventListener('abort', () => clearTimeout(alone));
    pc.addEventListener('connectionstatechange', () => this.#changed(), { signal });
    // The node ends a session by closing DTLS. The connection's state alone would show that only seconds later.
    const [transceiver] = pc.getTransceivers();
    const dtls = transceiver?.receiver.transport ?? transceiver?.sender.transport;
    dtls?.addEventListener('statechange', () => {
      if (dtls.state === 'closed' || dtls.state === 'failed') void this.#endedByNode();
    }, { signal });
    this.#changed();
  }

  /** The node says that the session is over. @param {string} reason @param {string} detail */
  ended(reason, detail) {
    const message = REASONS[reason] ?? `The node ended the session (${reason})`;
    this.#lose(new CorecastError(reason === 'left' ? 'session_ended' : reason, detail ? `${message}: ${detail}` : message, { final: FINAL_REASONS.has(reason) }));
  }

  /**
   * The node has closed DTLS. Why it did comes another way and a moment later, or has to be asked for. It matters: a
   * publisher that came back after another one took its name over would replace that one, and so on in turn.
   */
  async #endedByNode() {
    const late = pause(REASON_WITHIN_MS, this.#stop.signal).then(() => null);
    const reason = await Promise.race([this.#accepted.whyEnded().catch(() => null), late]);
    this.#lose(reason ?? new CorecastError('session_ended', 'The node ended the session'));
  }

  /** The network may have changed: looks for a new path, while media continues on the old one if that still works. */
  networkChanged() {
    if (this.#wasConnected) this.#restart();
  }

  get pc() { return this.#pc; }

  get accepted() { return this.#accepted; }

  /** Ends the connection here only: the session has another one. */
  retire() {
    this.#stop.abort();
    clearTimeout(this.#grace);
    this.#pc.close();
  }

  /** Ends the connection here and on the node. */
  close() {
    this.#stop.abort();
    clearTimeout(this.#grace);
    this.#lose(new CorecastError('session_ended', 'The session was ended'));
    this.#pc.close();
    this.#accepted.close();
  }

  #changed() {
    clearTimeout(this.#grace);
    const state = this.#pc.connectionState;
    if (state === 'connected') {
      this.#wasConnected = true;
      this.#arrive();
    } else if (state === 'closed') {
      this.#lose(new CorecastError('session_ended', 'The node ended the session'));
    } else if (state === 'failed' && !this.#wasConnected && (this.#relays.length || this.#restarting)) {
      void this.#tryRelays();
    } else if (state === 'failed' && !this.#wasConnected) {
      this.#lose(new CorecastError('no_media_path', 'No media path to the node was found'));
    } else if (state === 'failed') {
      this.#restart();
    } else if (state === 'disconnected') {
      this.#grace = setTimeout(() => this.#restart(), DISCONNECTED_MS);
    }
  }

  /** Nothing has connected yet: tells the browser of the TURN servers, once. Browsers gather anew only with a restart. */
  async #tryRelays() {
    const { signal } = this.#stop;
    if (!this.#relays.length || this.#restarting || this.#wasConnected || /^(connected|completed)$/.test(this.#pc.iceConnectionState)) return;
    this.#restarting = true;
    // What fails here leaves the attempt as it is, which has its own time limit.
    await this.#restartOnce().catch(() => {});
    this.#restarting = false;
    if (!signal.aborted) this.#changed();
  }

  /** Restarts ICE until there is a path or the time limit is reached. */
  async #restart() {
    if (this.#restarting) return;
    this.#restarting = true;
    const { signal } = this.#stop;
    const deadline = Date.now() + RESTARTED_WITHIN_MS;
    for (let first = true; !signal.aborted; first = false) {
      if (!first && this.#pc.connectionState === 'connected') break; // the old path works again, or the new one does
      if (Date.now() > deadline) {
        this.#lose(new CorecastError('connection_lost', 'The connection was lost'));
        break;
      }
      try {
        await this.#restartOnce();
        this.onrestart();
        await this.#settled(deadline - Date.now());
      } catch (error) {
        if (signal.aborted) break;
        // A node that answers with a refusal no longer has the session.
        if (!(error instanceof CorecastError) || (error.status !== 0 && error.status < 500)) {
          this.#lose(error instanceof CorecastError ? error : new CorecastError('connection_lost', 'The connection was lost', { cause: error }));
          break;
        }
      }
      if (this.#pc.connectionState !== 'connected') await pause(RESTART_AGAIN_MS, signal);
    }
    this.#restarting = false;
  }

  async #restartOnce() {
    const pc = this.#pc;
    if (this.#relays.length) {
      const configuration = pc.getConfiguration();
      pc.setConfiguration({ ...configuration, iceServers: [...(configuration.iceServers ?? []), ...this.#relays.splice(0)] });
    }
    const answer = pc.currentRemoteDescription?.sdp ?? '';
    const offer = await pc.createOffer({ iceRestart: true });
    await pc.setLocalDescription(offer);
    try {
      const fragment = await this.#accepted.restart(restartFragment(offer.sdp ?? ''));
      await pc.setRemoteDescription({ type: 'answer', sdp: restartedAnswer(answer, fragment) });
    } catch (error) {
      if (pc.signalingState === 'have-local-offer') await pc.setLocalDescription({ type: 'rollback' }).catch(() => {});
      throw error;
    }
  }

  /** Waits until the checks of a restart have succeeded or failed. @param {number} ms */
  #settled(ms) {
    const pc = this.#pc;
    return new Promise((resolve) => {
      const done = () => {
        if (!/^(connected|failed|closed)$/.test(pc.connectionState)) return;
        pc.removeEventListener('connectionstatechange', done);
        clearTimeout(late);
        resolve(undefined);
      };
      const late = setTimeout(() => { pc.removeEventListener('connectionstatechange', done); resolve(undefined); }, Math.max(0, ms));
      pc.addEventListener('connectionstatechange', done);
      done();
    });
  }
}
