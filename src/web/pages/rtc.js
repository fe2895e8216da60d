// A client for WHIP (RFC 9725) and WHEP: one RTCPeerConnection at a time, kept alive by making a new one.
//
// Left out: trickle ICE (the node is ICE-lite: it answers checks and starts none, so telling it this browser's
// candidates gains nothing) and ICE restart (a fresh session takes as long and also survives a restarted node).

const BACKOFF_MS = { first: 500, most: 8_000 };
const DISCONNECTED_MS = 4_000;
/** Answers that will not change by asking again. */
const FINAL = new Set([400, 401, 403, 404, 405, 406, 413, 415, 422]);

class Refused extends Error {
  constructor(status, message, retryAfterMs) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What a problem+json (RFC 9457) or any other answer has to say. */
async function refusal(response) {
  const text = await response.text().catch(() => '');
  let message = text.slice(0, 300);
  try {
    const { title, detail } = JSON.parse(text);
    message = [title, detail].filter(Boolean).join(': ');
  } catch { /* plain text then */ }
  const seconds = Number(response.headers.get('retry-after'));
  return new Refused(response.status, message || `the node answered ${response.status}`, seconds * 1_000 || 0);
}

/** ICE servers out of a Link header (RFC 9725 §4.6). */
export function iceServers(header) {
  const servers = [];
  for (const [, urls, parameters] of (header ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"[^"]*"|[^\s;,]+))*)/g)) {
    const found = Object.fromEntries([...parameters.matchAll(/([\w-]+)\s*=\s*(?:"([^"]*)"|([^\s;,]+))/g)]
      .map(([, name, quoted, bare]) => [name.toLowerCase(), quoted ?? bare]));
    if (found.rel === 'ice-server') servers.push({ urls, username: found.username, credential: found.credential });
  }
  return servers;
}

/**
 * A session that wants to stay connected. Events: `state` on every change of `state`, `peer` with each new
 * RTCPeerConnection before its offer is made.
 *
 * `state` is one of idle, connecting, connected, retrying, failed; `problem` says why for the last two.
 */
export class Session extends EventTarget {
  #endpoint;
  #prepare;
  #run = null;
  state = 'idle';
  problem = '';
  /** @type {RTCPeerConnection | null} */
  pc = null;

  /** `prepare(pc)` adds the transceivers and listeners a new connection needs. */
  constructor(endpoint, prepare) {
    super();
    this.#endpoint = endpoint;
    this.#prepare = prepare;
    // The node would notice by itself, seconds later; another publisher may be waiting for the name.
    addEventListener('pagehide', () => this.stop());
    addEventListener('online', () => this.#run?.hurry?.());
  }

  #enter(state, problem = '') {
    this.state = state;
    this.problem = problem;
    this.dispatchEvent(new Event('state'));
  }

  start() {
    if (this.#run) return;
    const run = (this.#run = { stopped: new AbortController(), location: null });
    this.#keep(run).catch((error) => {
      if (this.#run !== run) return;
      this.#run = null;
      this.#end(run);
      this.#enter('failed', error.message);
    });
  }

  stop() {
    const run = this.#run;
    if (!run) return;
    this.#run = null;
    this.#end(run);
    run.stopped.abort();
    this.#enter('idle');
  }

  /** Closes the connection and tells the node. */
  #end(run) {
    run.pc?.close();
    if (this.pc === run.pc) this.pc = null;
    if (run.location) fetch(run.location, { method: 'DELETE', keepalive: true }).catch(() => {});
    run.location = null;
  }

  async #keep(run) {
    const { signal } = run.stopped;
    let wasConnected = false;
    for (let delay = BACKOFF_MS.first; !signal.aborted;) {
      let wait = delay;
      try {
        this.#enter(wasConnected ? 'retrying' : 'connecting', this.problem);
        const { lost } = await this.#connect(run);
        wasConnected = true;
        delay = wait = BACKOFF_MS.first;
        this.#enter('connected');
        const why = await lost;
        if (signal.aborted) return;
        this.#end(run);
        this.#enter('retrying', why);
      } catch (error) {
        if (signal.aborted) return;
        this.#end(run);
        // A name that is taken may be our own session that the node has not missed yet.
        if (FINAL.has(error.status) || (error.status === 409 && !wasConnected)) throw error;
        if (error.name === 'NotFoundError' || error.name === 'InvalidAccessError') throw error;
        wait = Math.max(delay, error.retryAfterMs ?? 0);
        delay = Math.min(delay * 2, BACKOFF_MS.most);
        this.#enter('retrying', error.message);
      }
      await new Promise((wake) => {
        run.hurry = wake;
        signal.addEventListener('abort', wake, { once: true });
        setTimeout(wake, wait * (0.75 + Math.random() / 2));
      });
    }
  }

  /** One attempt. Resolves when connected; `lost` in it resolves with the reason when the connection is lost. */
  async #connect(run) {
    const pc = (run.pc = this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' }));
    await this.#prepare(pc);
    this.dispatchEvent(new CustomEvent('peer', { detail: pc }));
    const offer = await pc.createOffer();
    const response = await fetch(this.#endpoint, {
      method: 'POST', headers: { 'content-type': 'application/sdp' }, body: offer.sdp, signal: run.stopped.signal,
    });
    if (response.status !== 201) throw await refusal(response);
    const location = response.headers.get('location');
    run.location = location && new URL(location, response.url).href;
    // ICE servers come with the answer, so gathering (which starts with the local description) waits for them.
    const servers = iceServers(response.headers.get('link'));
    if (servers.length) pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers });
    await pc.setLocalDescription(offer);
    await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });

    const lost = deferred();
    const connected = deferred();
    let grace;
    const ended = (why) => { connected.reject(new Error(why)); lost.resolve(why); };
    pc.onconnectionstatechange = () => {
      clearTimeout(grace);
      if (pc.connectionState === 'connected') connected.resolve();
      if (pc.connectionState === 'failed') ended('the connection failed');
      if (pc.connectionState === 'closed') ended('the node ended the session');
      if (pc.connectionState === 'disconnected') grace = setTimeout(ended, DISCONNECTED_MS, 'the connection was lost');
    };
    // The node says goodbye by closing DTLS; the connection state alone would take seconds to show it.
    const transport = pc.getTransceivers()[0]?.receiver.transport ?? pc.getTransceivers()[0]?.sender.transport;
    transport?.addEventListener('statechange', () => {
      if (transport.state === 'closed' || transport.state === 'failed') ended('the node ended the session');
    });
    run.stopped.signal.addEventListener('abort', () => ended('stopped'), { once: true });
    const late = setTimeout(ended, 15_000, 'no media path to the node: is its UDP port reachable?');
    pc.onconnectionstatechange();
    await connected.promise.finally(() => clearTimeout(late));
    return { lost: lost.promise };
  }
}

function deferred() {
  const out = {};
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }));
  out.promise.catch(() => {});
  return out;
}

/** Turns cumulative counters into rates between two readings. */
export class Meter {
  #last = null;

  /** Reads one direction (`inbound-rtp` or `outbound-rtp`) of a connection; numbers, `undefined` where unknown. */
  async read(pc, direction) {
    const report = [...(await pc.getStats()).values()];
    const find = (type, kind) => report.find((entry) => entry.type === type && (!kind || entry.kind === kind));
    const byId = new Map(report.map((entry) => [entry.id, entry]));
    const video = find(direction, 'video') ?? {};
    const audio = find(direction, 'audio') ?? {};
    const remote = byId.get(video.remoteId) ?? {};
    const transport = find('transport') ?? {};
    const pair = byId.get(transport.selectedCandidatePairId)
      ?? report.find((entry) => entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded') ?? {};
    const inbound = direction === 'inbound-rtp';
    const now = {
      pc, at: video.timestamp ?? performance.timeOrigin + performance.now(),
      bytes: ((inbound ? video.bytesReceived : video.bytesSent) ?? 0) + ((inbound ? audio.bytesReceived : audio.bytesSent) ?? 0),
      frames: (inbound ? video.framesDecoded : video.framesEncoded) ?? 0,
    };
    const before = this.#last?.pc === pc ? this.#last : { ...now };
    if (before.at !== now.at || this.#last?.pc !== pc) this.#last = now;
    const seconds = (now.at - before.at) / 1_000;
    const per = (value) => (seconds > 0 ? value / seconds : 0);
    const received = (video.packetsReceived ?? 0) + (audio.packetsReceived ?? 0);
    const lost = inbound ? (video.packetsLost ?? 0) + (audio.packetsLost ?? 0) : remote.packetsLost;
    return {
      codec: byId.get(video.codecId)?.mimeType?.replace('video/', ''),
      width: video.frameWidth, height: video.frameHeight,
      frames: now.frames, framesPerSecond: per(now.frames - before.frames),
      bitsPerSecond: per(8 * (now.bytes - before.bytes)),
      packetsLost: lost,
      lossShare: inbound ? (received + lost > 0 ? lost / (received + lost) : 0) : remote.fractionLost,
      nacks: video.nackCount ?? 0,
      keyFrameRequests: (video.pliCount ?? 0) + (video.firCount ?? 0),
      retransmitted: inbound ? video.retransmittedPacketsReceived : video.retransmittedPacketsSent,
      roundTripMs: pair.currentRoundTripTime === undefined ? undefined : pair.currentRoundTripTime * 1_000,
      jitterBufferMs: video.jitterBufferEmittedCount
        ? (1_000 * video.jitterBufferDelay) / video.jitterBufferEmittedCount : undefined,
      freezes: video.freezeCount,
      limitedBy: video.qualityLimitationReason,
      dtls: transport.tlsVersion, srtp: transport.srtpCipher,
    };
  }
}

const DASH = '–';
export const format = {
  size: ({ width, height }) => (width ? `${width} × ${height}` : DASH),
  rate: (bits) => (bits ? (bits >= 1e6 ? `${(bits / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`) : DASH),
  number: (value, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : DASH),
  ms: (value) => (Number.isFinite(value) ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : DASH),
  share: (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(value > 0 && value < 0.1 ? 2 : 0)} %` : DASH),
};

/** Writes `{ label: value }` into a definition list, touching only what changed. */
export function show(list, figures) {
  for (const [label, value] of Object.entries(figures)) {
    let cell = list.querySelector(`dd[data-label="${label}"]`);
    if (!cell) {
      const term = document.createElement('dt');
      term.textContent = label;
      cell = document.createElement('dd');
      cell.dataset.label = label;
      list.append(term, cell);
    }
    if (cell.textContent !== value) cell.textContent = value;
  }
}

/** The stream this page is about, from `?stream=`. Fills in the title, the heading and the link to the other page. */
export function streamOfPage(otherPage) {
  const name = new URLSearchParams(location.search).get('stream') || 'demo';
  document.getElementById('name').textContent = name;
  document.title = `${name} · ${document.title}`;
  document.getElementById('other').href = `${otherPage}?stream=${encodeURIComponent(name)}`;
  return name;
}
