// The publish page: camera or screen to the node, and what the network makes of it.

import { Meter, Session, format, show, streamOfPage } from '/rtc.js';

const element = (id) => document.getElementById(id);
const video = element('video');
const stream = streamOfPage('/watch.html');
const meter = new Meter();
let media = null;
let latest = {};
let problem = '';

/** Codecs this browser can send, H.264 first: every viewer can play it and most devices encode it in hardware. */
const ORDER = ['H264', 'VP8', 'VP9', 'AV1', 'H265'];
const capable = RTCRtpSender.getCapabilities?.('video')?.codecs ?? [];
const names = ORDER.filter((name) => capable.some(({ mimeType }) => mimeType.toUpperCase() === `VIDEO/${name}`));
for (const name of names) element('codec').add(new Option(name === 'H264' ? 'H.264' : name === 'H265' ? 'H.265' : name, name));

const chosen = () => {
  const [width, height] = element('resolution').value.split('x').map(Number);
  return { codec: element('codec').value, width, height, maxBitrate: Number(element('bitrate').value) };
};

/** The chosen codec in all its profiles, then its retransmissions: nothing else is offered. */
function preferences(codec) {
  const of = (name) => capable.filter(({ mimeType }) => mimeType.toUpperCase() === `VIDEO/${name}`);
  return [...of(codec), ...of('RTX')];
}

const session = new Session(`/whip/${encodeURIComponent(stream)}`, async (pc) => {
  const { codec, maxBitrate } = chosen();
  const [audio] = media.getAudioTracks();
  const [picture] = media.getVideoTracks();
  if (audio) pc.addTransceiver(audio, { direction: 'sendonly', streams: [media] });
  const transceiver = pc.addTransceiver(picture, { direction: 'sendonly', streams: [media], sendEncodings: [{ maxBitrate }] });
  if (codec) transceiver.setCodecPreferences?.(preferences(codec));
});

async function capture() {
  const { width, height } = chosen();
  const size = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: 30 } };
  if (!navigator.mediaDevices) throw new Error('This page needs HTTPS (or localhost) before a browser gives it a camera.');
  if (element('source').value === 'screen') return navigator.mediaDevices.getDisplayMedia({ video: size, audio: true });
  try {
    return await navigator.mediaDevices.getUserMedia({ video: size, audio: true });
  } catch (error) {
    if (error.name !== 'NotFoundError') throw error;
    return navigator.mediaDevices.getUserMedia({ video: size }); // no microphone is no reason not to be seen
  }
}

const CAPTURE_PROBLEMS = {
  NotAllowedError: 'The browser was not allowed to use the camera. Allow it beside the address and start again.',
  NotFoundError: 'No camera was found.',
  NotReadableError: 'Another program is using the camera.',
};

let starting = false;

async function start() {
  problem = '';
  starting = true;
  paint();
  try {
    media = await capture();
    video.srcObject = media;
    media.getVideoTracks()[0].addEventListener('ended', stop); // "stop sharing" of the browser's own bar
    session.start();
  } catch (error) {
    problem = CAPTURE_PROBLEMS[error.name] ?? error.message;
  }
  starting = false;
  paint();
}

function stop() {
  session.stop();
  release();
  paint();
}

function release() {
  for (const track of media?.getTracks() ?? []) track.stop();
  media = null;
  video.srcObject = null;
  latest = {};
}

const TEXT = {
  idle: 'Not publishing', connecting: 'Connecting', connected: 'Live', retrying: 'Reconnecting', failed: 'Not publishing',
};

function paint() {
  if (session.state === 'failed' && media) {
    problem = session.problem;
    release();
  }
  const state = starting ? 'connecting' : session.state;
  const status = element('status');
  if (status.textContent !== TEXT[state]) status.textContent = TEXT[state];
  status.dataset.state = state === 'connected' ? 'live' : state;
  element('hint').hidden = Boolean(media) || starting;
  const running = starting || Boolean(media);
  const toggle = element('toggle');
  toggle.textContent = running ? 'Stop' : 'Start';
  toggle.dataset.running = String(running);
  toggle.disabled = starting;
  for (const id of ['source', 'codec', 'resolution']) element(id).disabled = running;
  const shown = problem || (state === 'retrying' ? session.problem : '');
  element('problem').textContent = shown;
  element('problem').hidden = !shown;
}

async function tick() {
  if (session.pc) latest = await meter.read(session.pc, 'outbound-rtp').catch(() => latest);
  show(element('figures'), {
    'Resolution': format.size(latest),
    'Codec': latest.codec ?? '–',
    'Frames per second': format.number(latest.framesPerSecond),
    'Bitrate': format.rate(latest.bitsPerSecond),
    'Packet loss': format.share(latest.lossShare),
    'NACKs': format.number(latest.nacks),
    'Key-frame requests': format.number(latest.keyFrameRequests),
    'Round trip': format.ms(latest.roundTripMs),
    'Limited by': { none: 'nothing', cpu: 'this computer', bandwidth: 'the network' }[latest.limitedBy] ?? '–',
  });
}

/** The bitrate may change while live; the rest needs a new session. */
element('bitrate').addEventListener('change', async () => {
  for (const sender of session.pc?.getSenders() ?? []) {
    if (sender.track?.kind !== 'video') continue;
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) encoding.maxBitrate = chosen().maxBitrate;
    await sender.setParameters(parameters).catch(() => {});
  }
});
element('controls').addEventListener('submit', (event) => {
  event.preventDefault();
  if (media) stop(); else start();
});
session.addEventListener('state', paint);
setInterval(tick, 500);
tick();
paint();

/** For tests and for the curious. */
window.corecast = {
  get pc() { return session.pc; },
  get state() { return element('status').dataset.state; },
  stats: () => ({ ...latest }),
  start,
  stop,
  session,
};
