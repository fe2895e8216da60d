// The publish page: camera or screen to the node, and what the network makes of it.

import { CorecastError, Publisher, capture, captureScreen, devices, onDevicesChanged, sendableCodecs } from '/sdk.js';
import { Spark, element, format, onToken, show, showProblem, streamOfPage, token, write } from '/page.js';

const video = element('video');
const stream = streamOfPage('publish', 'watch');
const sparks = {
  bitrate: new Spark(element('spark-bitrate')), frames: new Spark(element('spark-frames')),
  trip: new Spark(element('spark-trip')), loss: new Spark(element('spark-loss'), { most: 0.1 }),
};

/** @type {Publisher | null} */
let publisher = null;
let media = null;
/** What viewers are shown below the picture; those that come later, too. */
let caption = null;
let starting = false;
/** What went wrong before there was a publisher. */
let problem = null;
/** The camera's track, kept while a screen is shared in its place. */
let camera = null;

for (const id of ['codec', 'twin']) for (const name of sendableCodecs()) element(id).add(new Option(format.codec(name), name));

const chosen = () => {
  const [width, height] = element('resolution').value.split('x').map(Number);
  return { width, height, codec: element('codec').value, twin: element('twin').value || undefined, maxBitrate: Number(element('bitrate').value), simulcast: element('simulcast').value === 'on' };
};

function source() {
  if (element('source').value === 'screen') return captureScreen();
  const microphone = element('microphone').value;
  return capture({ ...chosen(), camera: element('camera').value || true, microphone: microphone === 'none' ? false : microphone || true });
}

async function start() {
  problem = null;
  starting = true;
  paint();
  try {
    media = await source();
    video.srcObject = media;
    listDevices();
    const { codec, twin, maxBitrate, simulcast } = chosen();
    publisher = new Publisher({ stream, codec, twin, maxBitrate, simulcast, token: token.get });
    caption = publisher.channel('caption', { retain: true });
    if (element('caption').value) caption.send(element('caption').value);
    publisher.on('state', paint);
    publisher.on('stats', ({ detail }) => draw(detail));
    publisher.on('sourceended', ({ detail }) => sourceEnded(detail.kind));
    publisher.on('ended', ({ detail }) => endedForGood(detail));
    publisher.on('error', ({ detail }) => { problem = detail.error; release(); paint(); });
    // What is wrong the events say.
    publisher.start(media).catch(() => {});
  } catch (error) {
    problem = error;
    release();
  }
  starting = false;
  paint();
}

function stop() {
  publisher?.close();
  release();
  paint();
}

function release() {
  for (const track of [...(media?.getTracks() ?? []), camera]) track?.stop();
  [media, camera, publisher, caption] = [null, null, null, null];
  video.srcObject = null;
  show(element('figures'), figures());
  drawLayers([]);
}

/** Somebody else has ended it: its operator, or a publisher that took the name over. */
function endedForGood({ reason, detail }) {
  if (reason === 'closed') return;
  problem = new CorecastError(reason, detail);
  release();
  paint();
}

/** The browser's own "stop sharing", or a camera that was unplugged. */
function sourceEnded(kind) {
  if (kind === 'video' && camera) return shareScreen();
  if (kind === 'video') stop();
}

/** The screen in place of the camera, and back, in the same session. */
async function shareScreen() {
  try {
    if (camera) {
      const back = camera;
      camera = null;
      await publisher.replaceTrack(back);
    } else {
      const [track] = (await captureScreen({ audio: false })).getVideoTracks();
      camera = media.getVideoTracks()[0];
      await publisher.replaceTrack(track, { keep: true });
    }
  } catch (error) {
    if (error.code !== 'cancelled') problem = error;
  }
  paint();
}

async function listDevices() {
  const { cameras, microphones } = await devices().catch(() => ({ cameras: [], microphones: [] }));
  for (const [id, list, fixed] of [['camera', cameras, 1], ['microphone', microphones, 2]]) {
    const select = element(id);
    const had = select.value;
    while (select.options.length > fixed) select.remove(fixed);
    for (const device of list) if (device.label) select.add(new Option(device.label, device.deviceId));
    if ([...select.options].some(({ value }) => value === had)) select.value = had;
  }
}

const TEXT = { idle: 'Not publishing', connecting: 'Connecting', connected: 'Live', reconnecting: 'Reconnecting', failed: 'Not publishing' };
/** The SDK's states by the names this page has for them. */
const SHOWN = { connected: 'live', reconnecting: 'retrying' };

function paint() {
  const state = starting ? 'connecting' : problem && !publisher ? 'failed' : publisher?.state ?? 'idle';
  write('status', TEXT[state]);
  element('status').dataset.state = SHOWN[state] ?? state;
  element('hint').hidden = Boolean(media) || starting;
  const running = starting || Boolean(media);
  write('toggle', running ? 'Stop' : 'Start');
  element('toggle').dataset.running = String(running);
  element('toggle').disabled = starting;
  for (const id of ['source', 'codec', 'twin', 'resolution', 'simulcast']) element(id).disabled = running;
  const screen = element('source').value === 'screen';
  element('devices').hidden = screen;
  element('microphone').options[1].disabled = running;
  showProblem(problem ?? (state === 'reconnecting' ? publisher.error : null));

  const [sounds, pictures] = [media?.getAudioTracks().length > 0, media?.getVideoTracks().length > 0];
  const press = (id, pressed, text, enabled) => {
    element(id).setAttribute('aria-pressed', String(pressed));
    element(id).disabled = !enabled;
    write(element(id).querySelector('span'), text);
  };
  const [muted, hidden] = [sounds && publisher?.muted('audio'), pictures && publisher?.muted('video')];
  press('sound', Boolean(muted), muted ? 'Unmute' : 'Mute', publisher && sounds);
  press('picture', Boolean(hidden), hidden ? 'Show picture' : 'Hide picture', publisher && pictures);
  press('screen', Boolean(camera), camera ? 'Stop sharing' : 'Share screen', publisher && pictures && !screen && Boolean(navigator.mediaDevices?.getDisplayMedia));
}

function draw(stats) {
  write('tile-bitrate', format.rate(stats.bitsPerSecond));
  write('tile-frames', format.number(stats.framesPerSecond));
  write('tile-trip', format.ms(stats.roundTripMs));
  write('tile-loss', format.share(stats.lossShare));
  sparks.bitrate.push(stats.bitsPerSecond);
  sparks.frames.push(stats.framesPerSecond);
  sparks.trip.push(stats.roundTripMs);
  sparks.loss.push(stats.lossShare);
  show(element('figures'), figures(stats));
  drawLayers(stats.layers);
}

/** What each size sends: a browser pauses the larger ones when the network or this computer does not carry them. */
function drawLayers(layers) {
  element('layers-card').hidden = layers.length === 0;
  if (layers.length !== element('layers').querySelectorAll('dd').length) element('layers').replaceChildren();
  const sent = ({ paused, bitsPerSecond, framesPerSecond, ...size }) =>
    (paused ? 'paused' : `${format.size(size)} · ${format.rate(bitsPerSecond)} · ${format.number(framesPerSecond)}/s`);
  show(element('layers'), Object.fromEntries([...layers].reverse().map((layer) => [layer.twin ? `In ${format.codec(layer.codec)}` : LAYERS[layer.rid] ?? (layer.rid || format.codec(layer.codec)), sent(layer)])));
}

/** The SDK's layers by the names this page has for them. */
const LAYERS = { h: 'Large', m: 'Medium', l: 'Small' };

function figures(stats = {}) {
  return {
    'Resolution': format.size(stats),
    'Codec': format.codec(stats.codec),
    'Uplink, estimated': format.rate(stats.availableBitsPerSecond),
    'NACKs': format.number(stats.nacks),
    'Key-frame requests': format.number(stats.keyFrameRequests),
    'Limited by': { none: 'nothing', cpu: 'this computer', bandwidth: 'the network' }[stats.limitedBy] ?? '–',
  };
}

/** Bitrate and devices may change while live; the rest needs a new session. */
element('bitrate').addEventListener('change', () => publisher?.setMaxBitrate(chosen().maxBitrate).catch(() => {}));
for (const [id, kind] of [['camera', 'video'], ['microphone', 'audio']]) {
  element(id).addEventListener('change', () => {
    const device = element(id).value;
    if (publisher && device && !(kind === 'video' && camera)) publisher.switchDevice(kind, device, chosen()).catch((error) => { problem = error; }).finally(paint);
  });
}
for (const [id, kind] of [['sound', 'audio'], ['picture', 'video']]) {
  element(id).addEventListener('click', () => {
    if (publisher.muted(kind)) publisher.unmute(kind); else publisher.mute(kind);
    paint();
  });
}
element('screen').addEventListener('click', shareScreen);
element('caption-form').addEventListener('submit', (event) => {
  event.preventDefault();
  caption?.send(element('caption').value);
});
element('source').addEventListener('change', paint);
element('controls').addEventListener('submit', (event) => {
  event.preventDefault();
  if (media) stop(); else start();
});
onToken(start);
if (navigator.mediaDevices) onDevicesChanged(listDevices);
listDevices();
show(element('figures'), figures());
paint();

/** For tests and for the curious. */
window.corecast = {
  get pc() { return publisher?.pc ?? null; },
  get state() { return element('status').dataset.state; },
  get session() { return publisher; },
  stats: () => ({ ...publisher?.stats }),
  start,
  stop,
};
