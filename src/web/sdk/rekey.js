// A session's second connection, which takes its media over so that its SRTP keys are others (make before break): the protocol is in
// the node's manual, "Keys that change".

import { Connection } from './connection.js';

/**
 * @typedef {object} Steps what the session does meanwhile
 * @property {(pc: RTCPeerConnection) => import('./session.js').Takeover | Promise<import('./session.js').Takeover>} prepare adds the media
 * @property {(pc: RTCPeerConnection) => void} tell the page
 * @property {(sdp: string) => string} offer as the node is sent it
 * @property {(sdp: string) => string} answer as it is applied
 * @property {(connection: Connection) => void} use it carries the session from now on
 */

/**
 * Connects once more, waits until the media comes by the new connection, and closes the first. Rejects where there is no second
 * connection; the first is then as it was.
 *
 * @param {Connection} first
 * @param {Steps} steps
 * @param {AbortSignal} signal the first one has ended, or the node has given the second up
 * @returns {Promise<Connection | null>}
 */
export async function secondConnection(first, steps, signal) {
  // As the first was made: with the servers that the browser was told of by then.
  const pc = new RTCPeerConnection(first.pc.getConfiguration());
  const aborted = new Promise((resolve) => { signal.addEventListener('abort', () => resolve(null), { once: true }); });
  /** @type {import('./session.js').Takeover | null} */
  let takeover = null;
  /** @type {Connection | null} */
  let second = null;
  try {
    takeover = await steps.prepare(pc);
    steps.tell(pc);
    const offer = await pc.createOffer();
    const { sdp, iceServers } = await first.accepted.rekey(steps.offer(offer.sdp ?? ''));
    // Credentials for TURN end; those of the first connection may be over.
    if (iceServers.length && usesRelays(first.pc)) pc.setConfiguration({ ...pc.getConfiguration(), iceServers });
    await pc.setLocalDescription(offer);
    await pc.setRemoteDescription({ type: 'answer', sdp: steps.answer(sdp) });
    second = new Connection(pc, first.accepted);
    await Promise.race([second.connected, aborted]);
    if (!signal.aborted) await Promise.race([takeover.begin(), aborted]);
    if (signal.aborted) return end(second, takeover);
    first.accepted.switched();
    steps.use(second);
    await takeover.finish();
    first.retire();
    return second;
  } catch (error) {
    end(second, takeover);
    pc.close();
    if (signal.aborted) return null;
    throw error;
  }
}

/** @param {Connection | null} second @param {import('./session.js').Takeover | null} takeover */
function end(second, takeover) {
  takeover?.cancel();
  second?.retire();
  return null;
}

/** Whether the browser was told of TURN servers. @param {RTCPeerConnection} pc */
const usesRelays = (pc) => (pc.getConfiguration().iceServers ?? []).some(({ urls }) => [urls].flat().some((url) => /^turns?:/i.test(url)));
