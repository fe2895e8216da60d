// The watch page: plays a stream, waits for its publisher where there is none, and shows what arrives.

import { Meter, Session, format, show, streamOfPage } from '/rtc.js';

/** Nothing decoded for this long while connected: there is no publisher. */
const SILENT_MS = 2_000;

const element = (id) => document.getElementById(id);
const video = element('video');
const stream = streamOfPage('/publish.html');
const meter = new Meter();
const asked = { at: 0, firstFrameMs: undefined, waited: false };
let decoded = { frames: 0, at: -Infinity };
let latest = {};

const session = new Session(`/whep/${encodeURIComponent(stream)}`, (pc) => {
  const media = new MediaStream();
  asked.at = performance.now();
  asked.firstFrameMs = undefined;
  asked.waited = false;
  decoded = { frames: 0, at: -Infinity };
  pc.addTransceiver('audio', { direction: 'recvonly' });
  pc.addTransceiver('video', { direction: 'recvonly' });
  pc.addEventListener('track', ({ track }) => {
    media.addTrack(track);
    // Not before: the last picture of a lost connection is better than black.
    if (video.srcObject !== media) video.srcObject = media;
    // Muted play is always allowed; sound waits for a press.
    video.play().catch(() => {});
  });
  video.requestVideoFrameCallback?.(() => { asked.firstFrameMs ??= performance.now() - asked.at; });
});

const TEXT = {
  idle: ['Stopped', ''],
  connecting: ['Connecting', 'Connecting to the node …'],
  waiting: ['Waiting', 'Waiting for the publisher. It starts here by itself.'],
  live: ['Live', ''],
  retrying: ['Reconnecting', 'The connection was lost. Trying again …'],
  failed: ['Not playing', ''],
};

function paint() {
  const playing = performance.now() - decoded.at < SILENT_MS;
  const state = session.state === 'connected' ? (playing ? 'live' : 'waiting') : session.state;
  if (state === 'waiting' && asked.firstFrameMs === undefined && performance.now() - asked.at > SILENT_MS) asked.waited = true;
  const [badge, hint] = TEXT[state];
  const status = element('status');
  if (status.textContent !== badge) status.textContent = badge;
  status.dataset.state = state;
  element('hint').textContent = hint;
  element('hint').hidden = !hint || state === 'live';
  video.style.opacity = state === 'live' || !video.videoWidth ? 1 : 0.35;
  element('sound').hidden = state !== 'live';
  element('sound').textContent = video.muted ? 'Turn sound on' : 'Mute';
  element('full').hidden = state !== 'live' || !video.requestFullscreen;
  element('problem').textContent = session.problem;
  element('problem').hidden = !session.problem || state === 'live';
  element('retry').hidden = state !== 'failed';
  return state;
}

async function tick() {
  if (session.pc) latest = await meter.read(session.pc, 'inbound-rtp').catch(() => latest);
  if (latest.frames > decoded.frames) decoded = { frames: latest.frames, at: performance.now() };
  const state = paint();
  const live = state === 'live';
  show(element('figures'), {
    'Resolution': live ? format.size(latest) : format.size({}),
    'Codec': (live && latest.codec) || '–',
    'Frames': format.number(latest.frames),
    'Frames per second': format.number(live ? latest.framesPerSecond : NaN),
    'Bitrate': format.rate(live ? latest.bitsPerSecond : 0),
    'Packets lost': `${format.number(latest.packetsLost)} (${format.share(latest.lossShare)})`,
    'Retransmitted': format.number(latest.retransmitted),
    'First frame after': asked.waited && asked.firstFrameMs ? 'a wait' : format.ms(asked.firstFrameMs),
    'Jitter buffer': format.ms(latest.jitterBufferMs),
    'Round trip': format.ms(latest.roundTripMs),
    'Freezes': format.number(latest.freezes),
  });
}

element('sound').addEventListener('click', () => {
  video.muted = !video.muted;
  video.play().catch(() => { video.muted = true; });
  paint();
});
element('full').addEventListener('click', () => video.requestFullscreen().catch(() => {}));
element('retry').addEventListener('click', () => session.start());
session.addEventListener('state', paint);
addEventListener('pageshow', () => session.start()); // also on the way back through the history
setInterval(tick, 500);
tick();

/** For tests and for the curious. */
window.corecast = {
  get pc() { return session.pc; },
  get state() { return element('status').dataset.state; },
  stats: () => ({ ...latest, firstFrameMs: asked.firstFrameMs }),
  session,
};
