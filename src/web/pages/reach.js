// Which ways lead from this browser to the node: each is tried alone, as a viewer's session of its own, which is ended before
// the next. A way is chosen by leaving all other candidates out of the node's answer, or by `iceTransportPolicy: 'relay'`.
//
// A session counts as reached with the first answer to an ICE check: that is the first packet from the node. Media comes only
// where the stream has a publisher, so its first packet is told beside it.

import { HttpTransport } from '/sdk/http.js';

/** A way that has not answered by then does not lead to the node: viewers would have given up. */
const ANSWER_WITHIN_MS = 6_000;
/** How long media is waited for on a connection that stands. */
const MEDIA_WITHIN_MS = 1_000;

/**
 * The parts of an `a=candidate` line.
 *
 * @param {string} line
 * @returns {{ protocol: string, address: string, port: string } | null}
 */
export function candidate(line) {
  const [, protocol, address, port] = /^a=candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+) /i.exec(line) ?? [];
  return protocol ? { protocol: protocol.toLowerCase(), address, port } : null;
}

/**
 * The answer with those candidates only that `keep` takes, and how many it took.
 *
 * @param {string} sdp
 * @param {(found: { protocol: string, address: string, port: string }) => boolean} keep
 */
export function withCandidates(sdp, keep) {
  let kept = 0;
  const lines = sdp.split('\r\n').filter((line) => {
    const found = candidate(line);
    if (!found) return true;
    const takes = keep(found);
    kept += takes ? 1 : 0;
    return takes;
  });
  return { sdp: lines.join('\r\n'), kept };
}

/**
 * The servers of one kind among those that the node names. Its own takes TURN over TCP and over TLS on one port and names
 * the safer one, so that over TCP is asked for at the same place.
 *
 * @param {RTCIceServer[]} servers
 * @param {'tls' | 'tcp' | 'udp'} kind
 * @returns {RTCIceServer[]}
 */
export function relays(servers, kind) {
  return servers.flatMap((server) => [server.urls].flat().flatMap((url) => {
    const [, scheme, rest, transport] = /^(turns?):([^?]+)(?:\?transport=(\w+))?$/.exec(url) ?? [];
    if (!scheme) return [];
    const over = scheme === 'turns' ? 'tls' : transport === 'tcp' ? 'tcp' : 'udp';
    if (over === kind) return [{ ...server, urls: url }];
    return kind === 'tcp' && over === 'tls' ? [{ ...server, urls: `turn:${rest}?transport=tcp` }] : [];
  }));
}

const isV6 = (address) => address.includes(':');

/** The ways, in the order in which a browser prefers them. */
export const WAYS = [
  { name: 'UDP over IPv4', keep: ({ protocol, address }) => protocol === 'udp' && !isV6(address), lacks: 'the node announces no IPv4 address' },
  { name: 'UDP over IPv6', keep: ({ protocol, address }) => protocol === 'udp' && isV6(address), lacks: 'the node announces no IPv6 address' },
  { name: 'TCP', keep: ({ protocol }) => protocol === 'tcp', lacks: 'the node takes media over UDP only' },
  { name: 'TURN over UDP', relay: 'udp', lacks: '' },
  { name: 'TURN over TCP', relay: 'tcp', lacks: 'the node names no TURN server' },
  { name: 'TURN over TLS', relay: 'tls', lacks: 'the node names no TURN server over TLS: its certificate has no name that this page was opened by, or TURN is off' },
];

/**
 * @typedef {object} Tried
 * @property {string} name the way
 * @property {'works' | 'silent' | 'not offered' | 'refused'} result
 * @property {string} why what is known where it does not work
 * @property {number} [requestMs] until the node answered the offer
 * @property {number} [packetMs] from the beginning of the attempt to the first packet of the node's
 * @property {number} [connectedMs] … to the end of the DTLS handshake
 * @property {number} [mediaMs] … to the first packet of media
 * @property {string} [via] where it was reached
 */

/**
 * Tries one way.
 *
 * @param {typeof WAYS[number]} way
 * @param {{ stream: string, token: () => string }} session
 * @returns {Promise<Tried>}
 */
export async function attempt(way, { stream, token }) {
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceTransportPolicy: way.relay ? 'relay' : 'all' });
  const began = performance.now();
  let accepted = null;
  try {
    for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
    const offer = await pc.createOffer();
    accepted = await new HttpTransport(location.origin, token).open({ direction: 'play', stream, offer: offer.sdp });
    const requestMs = performance.now() - began;
    const servers = way.relay ? relays(accepted.iceServers, way.relay) : [];
    // A relay sends to the node's UDP ports.
    const { sdp, kept } = withCandidates(accepted.sdp, way.keep ?? (({ protocol }) => protocol === 'udp'));
    if (!kept || (way.relay && !servers.length)) return { name: way.name, result: 'not offered', why: way.lacks, requestMs };
    if (servers.length) pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers });
    return { name: way.name, why: '', requestMs, ...await connect(pc, offer, sdp) };
  } catch (error) {
    return { name: way.name, result: 'refused', why: error.message, error };
  } finally {
    accepted?.close();
    pc.close();
  }
}

/** @param {RTCPeerConnection} pc @param {RTCSessionDescriptionInit} offer @param {string} sdp */
async function connect(pc, offer, sdp) {
  const began = performance.now();
  /** @type {Partial<Tried>} */
  const times = {};
  const note = (name) => { times[name] ??= performance.now() - began; };
  const isReached = () => ['connected', 'completed'].includes(pc.iceConnectionState);
  pc.addEventListener('track', ({ track }) => track.addEventListener('unmute', () => note('mediaMs')));
  const ended = happens(pc, ['iceconnectionstatechange', 'connectionstatechange'], () => {
    if (isReached()) note('packetMs');
    if (pc.connectionState === 'connected') note('connectedMs');
    return times.connectedMs !== undefined || pc.connectionState === 'failed';
  }, ANSWER_WITHIN_MS);
  await pc.setLocalDescription(offer);
  await pc.setRemoteDescription({ type: 'answer', sdp });
  await ended;
  if (times.packetMs === undefined) return { result: 'silent', why: `no answer within ${ANSWER_WITHIN_MS / 1_000} s`, ...times };
  if (times.connectedMs === undefined) return { result: 'silent', why: 'checks are answered, and the DTLS handshake does not end', ...times };
  await happens(pc, ['track'], () => times.mediaMs !== undefined, MEDIA_WITHIN_MS);
  return { result: 'works', via: await used(pc), ...times };
}

/** Waits until `is` says so, at one of these events or some time later, and no longer than `ms`. */
function happens(target, events, is, ms) {
  const stop = new AbortController();
  return new Promise((resolve) => {
    const look = () => { if (is()) resolve(true); };
    for (const event of events) target.addEventListener(event, look, { signal: stop.signal });
    const every = setInterval(look, 20);
    const late = setTimeout(resolve, ms, false);
    stop.signal.addEventListener('abort', () => { clearInterval(every); clearTimeout(late); });
    look();
  }).finally(() => stop.abort());
}

/** Where the connection leads: the node's address, and the relay's where there is one. @param {RTCPeerConnection} pc */
async function used(pc) {
  const stats = await pc.getStats();
  const all = [...stats.values()];
  const chosen = all.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId)?.selectedCandidatePairId;
  // Firefox has no statistics of the transport.
  const pair = stats.get(chosen) ?? all.find(({ type, state, selected, nominated }) => type === 'candidate-pair' && state === 'succeeded' && (selected || nominated));
  const [local, remote] = [stats.get(pair?.localCandidateId), stats.get(pair?.remoteCandidateId)];
  if (!remote) return 'an address that this browser does not tell';
  const to = `${isV6(remote.address) ? `[${remote.address}]` : remote.address}:${remote.port}`;
  return local?.url ? `${to} by ${local.url}` : to;
}

const ms = (value) => (value === undefined ? '–' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);

/** What one attempt came to, in a line for people. @param {Tried} tried */
export function line(tried) {
  if (tried.result !== 'works') return `${tried.result}: ${tried.why}`;
  const media = tried.mediaMs === undefined ? 'no media (nobody publishes)' : `first media ${ms(tried.mediaMs)}`;
  return `works: first packet ${ms(tried.packetMs)}, connected ${ms(tried.connectedMs)}, ${media}, at ${tried.via}`;
}

/** What it means for somebody who watches here. @param {Tried[]} all */
export function verdict(all) {
  const working = all.filter(({ result }) => result === 'works');
  if (!all.length) return '';
  if (all.every(({ result }) => result === 'refused')) return 'The node was reached and refused the session, so no way was tried.';
  if (!working.length) return 'No way leads to the node from here. A page came, so the network lets HTTPS through and no media.';
  const [best] = working;
  if (best.name.startsWith('UDP')) return `Streams play here, by ${best.name}.`;
  return `Streams play here by ${best.name}, because UDP does not get through. Where packets are lost, that is later than UDP.`;
}

/**
 * The whole result as plain text, for a support ticket. It has no token and no address of this computer.
 *
 * @param {Tried[]} all
 * @param {{ node: string, stream: string, at: Date, browser: string }} about
 */
export function report(all, { node, stream, at, browser }) {
  const width = Math.max(...all.map(({ name }) => name.length));
  const answered = all.map(({ requestMs }) => requestMs).filter((found) => found !== undefined);
  return [
    `Which ways reach ${node} (stream ${stream})`,
    `${at.toISOString()}, ${browser}`,
    verdict(all),
    `${'HTTPS'.padEnd(width)}  ${answered.length ? `works: offers answered after ${ms(Math.min(...answered))} to ${ms(Math.max(...answered))}` : 'no offer was answered'}`,
    ...all.map((tried) => `${tried.name.padEnd(width)}  ${line(tried)}`),
    'Times count from when the browser began to connect. "First packet" is the node\'s first answer to an ICE check.',
    '',
  ].join('\n');
}
