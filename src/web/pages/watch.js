// The watch page: plays a stream, waits for its publisher where there is none, and shows what arrives.

import { Viewer } from '/sdk.js';
import { Spark, element, format, onToken, show, showProblem, streamOfPage, token, write } from '/page.js';

const video = element('video');
const stream = streamOfPage('watch', 'publish');
const viewer = new Viewer({ stream, token: token.get });
const sparks = {
  latency: new Spark(element('spark-latency')), bitrate: new Spark(element('spark-bitrate')), frames: new Spark(element('spark-frames')),
};
element('check').querySelector('a').href = `/check/${encodeURIComponent(stream)}`;
let first = null;
let blocked = false;

const TEXT = {
  idle: ['Stopped', ''],
  connecting: ['Connecting', 'Connecting to the node …'],
  waiting: ['Waiting', 'Waiting for the publisher. It starts here by itself.'],
  live: ['Live', ''],
  retrying: ['Reconnecting', 'The connection was lost. Trying again …'],
  failed: ['Not playing', ''],
};

/** The SDK's state, by the names this page has for it. */
const shown = () => (viewer.state === 'connected' ? (viewer.live ? 'live' : 'waiting') : viewer.state === 'reconnecting' ? 'retrying' : viewer.state);

function paint() {
  const state = shown();
  const live = state === 'live';
  const soundOnly = live && viewer.layers.layers.length > 0 && !viewer.layers.current;
  const [badge, hint] = soundOnly ? [TEXT.live[0], 'Sound only'] : TEXT[state];
  write('status', badge);
  element('status').dataset.state = state;
  write('hint', hint);
  element('hint').hidden = !hint;
  video.classList.toggle('dim', (!live || soundOnly) && video.videoWidth > 0);
  element('play').hidden = !blocked;
  element('sound').hidden = !live || blocked;
  write('sound-text', video.muted ? 'Turn sound on' : 'Mute');
  element('details').hidden = !live;
  element('quality').hidden = !live || viewer.layers.layers.length === 0;
  element('full').hidden = !live || !(element('stage').requestFullscreen || video.webkitEnterFullscreen);
  element('numbers').hidden = !live || element('details').ariaPressed !== 'true';
  showProblem(live ? null : viewer.error);
  element('retry').hidden = state !== 'failed';
  element('check').hidden = !['no_media_path', 'connection_lost'].includes(viewer.error?.code);
  write('tile-first', first ? (first.waited ? 'a wait' : format.ms(first.afterMs)) : '–');
  write('tile-first-note', first?.waited ? 'for the publisher' : '');
}

function draw(stats) {
  const live = shown() === 'live';
  const figures = {
    'Resolution': format.size(live ? stats : {}),
    'Codec': live ? format.codec(stats.codec) : '–',
    'Frames': format.number(stats.frames),
    'Packets lost': `${format.number(stats.packetsLost)} (${format.share(stats.lossShare)})`,
    'Retransmitted': format.number(stats.retransmitted),
    'Jitter buffer': format.ms(stats.jitterBufferMs),
    'Round trip': format.ms(stats.roundTripMs),
    'Freezes': format.number(stats.freezes),
  };
  show(element('figures'), figures);
  const [latency, rate, frames] = live ? [stats.latencyMs, stats.bitsPerSecond, stats.framesPerSecond] : [];
  write('tile-latency', format.ms(latency));
  write('tile-bitrate', format.rate(rate));
  write('tile-frames', format.number(frames));
  sparks.latency.push(latency);
  sparks.bitrate.push(rate);
  sparks.frames.push(frames);
  if (element('numbers').hidden) return;
  show(element('numbers'), { ...figures, 'Latency': format.ms(latency), 'Bitrate': format.rate(rate), 'Frames/s': format.number(frames), 'First frame': element('tile-first').textContent });
}

/** A layer in a word: its height, as people call it. */
function nameOf(layer) {
  const size = layer.height ? `${layer.height}p` : layer.rid || 'Picture';
  const alike = viewer.layers.layers.filter(({ height }) => height === layer.height).length > 1;
  return alike ? `${size} · ${format.rate(layer.bitsPerSecond)}` : size;
}

/** Whether a choice is this one. */
const isChosen = (choice, value) => JSON.stringify(choice) === value;

/** The menu: what there is of the picture, the best first. What is played, and why, is beside it. */
function paintLayers() {
  const { layers, current, choice, because } = viewer.layers;
  const best = layers.toReversed();
  const auto = choice === 'auto' && current ? `Auto (${nameOf(current)})` : 'Auto';
  const entries = [['"auto"', auto], ...(layers.length > 1 ? best.map((layer) => [JSON.stringify({ rid: layer.rid }), layer.alive ? nameOf(layer) : `${nameOf(layer)} (paused)`]) : []), ['"sound"', 'Sound only']];
  const menu = element('quality');
  // A menu that is open is not made anew under the person's finger.
  if (document.activeElement !== menu || menu.options.length !== entries.length) {
    menu.replaceChildren(...entries.map(([value, text]) => new Option(text, value, false, isChosen(choice, value))));
  } else {
    for (const [index, [value, text]] of entries.entries()) {
      const option = menu.options[index];
      if (option.value !== value) option.value = value;
      if (option.text !== text) option.text = text;
      if (isChosen(choice, value)) menu.selectedIndex = index;
    }
  }
  const played = current ? nameOf(current) : 'Sound only';
  write('why', layers.length && because ? `${played}: ${because}.` : '');
  element('why').hidden = !element('why').textContent;
  paint();
}

/** Shows what the publisher has written below the picture. */
function say(text) {
  write('caption', text);
  element('caption').hidden = !text;
}

// What is wrong the events say.
const start = () => viewer.attach(video).catch(() => {});

for (const name of ['state', 'live', 'idle']) viewer.addEventListener(name, paint);
viewer.on('peer', () => { first = null; });
viewer.on('firstframe', ({ detail }) => { first = detail; blocked = false; paint(); });
viewer.on('playblocked', ({ detail }) => { blocked = !detail.playing; paint(); });
viewer.on('layers', paintLayers);
viewer.on('stats', ({ detail }) => draw(detail));
viewer.on('message', ({ detail: { label, data } }) => { if (label === 'caption' && typeof data === 'string') say(data); });
viewer.on('channelclosed', ({ detail: { label } }) => { if (label === 'caption') say(''); });

element('sound').addEventListener('click', async () => {
  if (video.muted) await viewer.unmute(); else viewer.mute();
  paint();
});
element('play').addEventListener('click', async () => {
  blocked = false;
  await viewer.unmute();
  paint();
});
element('quality').addEventListener('change', ({ target }) => {
  viewer.setLayer(JSON.parse(target.value)).catch((error) => { showProblem(error); paintLayers(); });
});
element('full').addEventListener('click', () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (element('stage').requestFullscreen) element('stage').requestFullscreen().catch(() => {});
  else video.webkitEnterFullscreen(); // telephones of Apple give the video alone
});
element('details').addEventListener('click', () => {
  element('details').ariaPressed = String(element('details').ariaPressed !== 'true');
  paint();
});
element('retry').addEventListener('click', start);
onToken(start);
addEventListener('pageshow', start); // also on the way back through the history
paint();

/** For tests and for the curious. */
window.corecast = {
  get pc() { return viewer.pc; },
  get state() { return element('status').dataset.state; },
  stats: () => ({ ...viewer.stats, firstFrameMs: viewer.firstFrameMs }),
  session: viewer,
};
