// The SDK in Chromium and Firefox against the real node: a page that is nothing but a few calls of it.

import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { artifact } from './lib/artifacts.mjs';
import { enter, NODE_IP, overruns, PEER_IP } from './lib/netns.mjs';
import { Browser, until } from './lib/browsers.mjs';
import { BASE, Corecast } from './lib/corecast.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('sdk');
const chromium = await Browser.start('chromium');
const firefox = await Browser.start('firefox');

const EVENTS = ['connected', 'signalling', 'disconnected', 'reconnecting', 'restarted', 'ended', 'error', 'live', 'idle', 'firstframe', 'playblocked', 'sourceended'];

/** An app's page: it has the SDK and a list of what it was told. */
async function page(name, browser = chromium) {
  const opened = await browser.open(`${BASE}/`, name);
  await prepare(opened);
  return opened;
}

const prepare = (opened) => opened.evaluate(async (events) => {
  window.sdk = await import('/sdk.js');
  window.told = [];
  window.listen = (session) => {
    for (const event of events) session.addEventListener(event, ({ detail }) => window.told.push({ event, ...detail, error: detail.error?.explanation }));
    return session;
  };
}, EVENTS);

const publish = (opened, stream, options = {}) => opened.evaluate(async (settings) => {
  const { Publisher, capture } = window.sdk;
  window.session = window.listen(new Publisher(settings));
  await window.session.start(await capture({ width: 1280, height: 720 }));
  // One size: a small <video> would be sent a small one.
}, { stream, transport: 'http', simulcast: false, ...options });

const watch = (opened, stream, options = {}, muted = true) => opened.evaluate(async (settings, silent) => {
  const video = document.createElement('video');
  video.muted = silent;
  document.body.prepend(video);
  window.video = video;
  window.session = window.listen(new window.sdk.Viewer(settings));
  await window.session.attach(video);
}, { stream, transport: 'http', ...options }, muted);

const told = (opened, event) => opened.evaluate((name) => window.told.filter((each) => each.event === name), event);
const stats = (opened) => opened.evaluate(() => window.session.stats);
const events = async (opened) => (await opened.evaluate(() => window.told)).map(({ event }) => event).join(' ');
const live = (opened, within = 30_000) => until(`${opened.name} is live`, () => opened.evaluate(() => window.session.live), { within })
  .catch(async (error) => { throw new Error(`${error.message}: ${await events(opened)}\n${opened.log.join('\n')}`); });
const frames = async (opened) => (await stats(opened))?.frames ?? 0;
/** Waits for frames after now: shown ones. Firefox draws none in a tab that is not in front: there decoded ones. */
async function plays(opened, browser = chromium, more = 16) {
  const count = () => (browser === firefox ? frames(opened) : opened.evaluate(() => window.video.getVideoPlaybackQuality().totalVideoFrames));
  const [before, from] = [await count(), Date.now()];
  await until(`${more} frames more`, async () => await count() >= before + more, { within: 20_000 });
  return Date.now() - from;
}

for (const transport of ['http', 'websocket']) await suite.case(`publish, watch, change what is sent, and publish again from a page that was loaded anew (${transport})`, async (check, note) => {
  const node = await Corecast.start(`sdk-${transport}`);
  const [publisher, viewer] = [await page('publisher'), await page('viewer')];
  try {
    await watch(viewer, 'sdk', { transport });
    check(await viewer.evaluate(() => !window.session.live), 'nobody publishes yet');
    const [from, overrunBefore] = [Date.now(), overruns()];
    await publish(publisher, 'sdk', { transport });
    await live(viewer);
    await until('full size', async () => (await stats(viewer))?.height === 720);
    note({ fullSizeAfterMs: Date.now() - from });
    let [sent, seen] = [];
    // Each page takes its figures once a second: of the bitrate's rise, or of a second in which the machine stood still, they differ.
    await until('figures of a quiet second', async () => {
      [sent, seen] = [await stats(publisher), await stats(viewer)];
      return sent && seen && Math.abs(seen.bitsPerSecond / sent.bitsPerSecond - 1) < 0.5 && sent.bitsPerSecond > 100_000 && seen.framesPerSecond > 10 && seen.roundTripMs < 200 && seen.latencyMs > seen.jitterBufferMs && seen.latencyMs < 1_000;
    }).catch(() => {});
    note({ sent, seen });
    check(sent.codec === 'H264' && seen.codec === 'H264', `codecs ${sent.codec}, ${seen.codec}`);
    check(sent.bitsPerSecond > 100_000 && Math.abs(seen.bitsPerSecond / sent.bitsPerSecond - 1) < 0.5, `${sent.bitsPerSecond} bit/s sent, ${seen.bitsPerSecond} seen`);
    check(seen.framesPerSecond > 10 && seen.width === 1280, `${seen.framesPerSecond} frames/s of ${seen.width}`);
    check(seen.roundTripMs >= 0 && seen.roundTripMs < 200 && seen.jitterBufferMs > 0 && seen.latencyMs > seen.jitterBufferMs && seen.latencyMs < 1_000, `round trip ${seen.roundTripMs}, jitter buffer ${seen.jitterBufferMs}, latency ${seen.latencyMs}`);
    check(seen.packetsLost <= overruns() - overrunBefore, `${seen.packetsLost} packets lost`);
    check(sent.lossShare === 0, `${sent.lossShare} of those sent were lost`);
    check(/^1\.[23]$/.test(seen.dtls), `DTLS ${seen.dtls}`);

    await publisher.evaluate(() => window.session.setMaxBitrate(150_000));
    await until('the limit holds', async () => (await stats(publisher)).bitsPerSecond < 300_000);

    // Another source in the same session: a canvas, of another shape.
    await publisher.evaluate(async () => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 400, height: 400 });
      const context = canvas.getContext('2d');
      setInterval(() => { context.fillStyle = `hsl(${performance.now() / 10} 80% 50%)`; context.fillRect(0, 0, 400, 400); }, 40);
      await window.session.replaceTrack(canvas.captureStream(25).getVideoTracks()[0]);
    });
    await until('the canvas', () => viewer.evaluate(() => window.video.videoWidth === window.video.videoHeight));
    check((await told(publisher, 'connected')).length === 1, 'no new session was needed');

    await viewer.evaluate(() => { window.kept = window.session.pc; });
    await publisher.reload();
    await until('idle', () => viewer.evaluate(() => !window.session.live));
    await prepare(publisher);
    await publish(publisher, 'sdk', { transport, codec: 'VP8' });
    await live(viewer);
    await until('the camera', () => viewer.evaluate(() => window.video.videoWidth > window.video.videoHeight));
    check(await viewer.evaluate(() => window.kept === window.session.pc), 'the viewer kept its connection');
    await until('VP8', async () => (await stats(publisher))?.codec === 'VP8' && (await stats(viewer))?.codec === 'VP8');
    await viewer.screenshot({ path: artifact(`sdk-viewer-${transport}.png`) });

    await Promise.all([publisher, viewer].map((each) => each.evaluate(() => window.session.close())));
    await until('the node has no session', async () => (await node.workers()).every(({ sessions }) => sessions.length === 0));
    for (const each of [publisher, viewer]) {
      check(/ended$/.test(await events(each)) && !/error/.test(await events(each)), `${each.name} was told ${await events(each)}`);
      check(!each.log.some((line) => /error:/.test(line)), `${each.name} says ${each.log}`);
    }
  } finally {
    await Promise.all([publisher, viewer].map((each) => each.close()));
    await node.stop();
  }
}, { attempts: 2 });

/** Moves this namespace, and with it both browsers, to another address. */
function moveTo(address, from) {
  // The old one first: an address added to a network that has one goes with it.
  for (const args of [['address', 'delete', `${from}/24`, 'dev', 'peer0'], ['address', 'add', `${address}/24`, 'dev', 'peer0'], ['route', 'replace', 'default', 'via', NODE_IP]]) {
    const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
  }
}

await suite.case('in Firefox: a page that is loaded anew publishes again, and its viewer plays on', async (check, note) => {
  const node = await Corecast.start('sdk-reload-firefox');
  const [publisher, viewer] = [await page('publisher', firefox), await page('viewer', firefox)];
  const options = { transport: 'websocket' };
  try {
    await watch(viewer, 'reload', options);
    await publish(publisher, 'reload', options);
    await live(viewer);
    await viewer.evaluate(() => { window.kept = window.session.pc; });
    await publisher.reload();
    await until('idle', () => viewer.evaluate(() => !window.session.live));
    await prepare(publisher);
    await publish(publisher, 'reload', options);
    await live(viewer);
    note({ playedAfterMs: await plays(viewer, firefox), viewer: await events(viewer), via: (await told(viewer, 'connected'))[0].via });
    check(await viewer.evaluate(() => window.kept === window.session.pc), 'the viewer kept its connection');
  } finally {
    await Promise.all([publisher, viewer].map((each) => each.close()));
    await node.stop();
  }
}, { attempts: 2 });

for (const browser of [chromium, firefox]) await suite.case(`an address that changes under both ends: the same sessions go on (${browser.kind})`, async (check, note) => {
  const node = await Corecast.start(`sdk-moves-${browser.kind}`);
  const [publisher, viewer] = [await page('publisher', browser), await page('viewer', browser)];
  const other = PEER_IP.replace(/\d+$/, '77');
  let moved = false;
  try {
    // The harder way: the socket has to move, too, and nobody tells it.
    await publish(publisher, 'moves', { transport: 'websocket' });
    await watch(viewer, 'moves', { transport: 'websocket' });
    await live(viewer);
    await Promise.all([publisher, viewer].map((each) => each.evaluate(() => { window.kept = window.session.pc; })));
    const before = await frames(viewer);
    moveTo(other, PEER_IP);
    moved = true;
    const from = Date.now();
    await until('frames again', async () => (await told(viewer, 'restarted')).length > 0 && (await told(publisher, 'restarted')).length > 0 && (await frames(viewer)) > before + 20, { within: 60_000 })
      .catch(async (error) => { throw new Error(`${error.message}: publisher ${await events(publisher)}; viewer ${await events(viewer)}; ${JSON.stringify(await stats(viewer))}`); });
    note({ playsAgainAfterMs: Date.now() - from, publisher: await events(publisher), viewer: await events(viewer) });
    await plays(viewer, browser);
    for (const each of [publisher, viewer]) check(await each.evaluate(() => window.kept === window.session.pc), `the ${each.name} kept its connection`);
  } finally {
    if (moved) moveTo(PEER_IP, other);
    await Promise.all([publisher, viewer].map((each) => each.close()));
    await node.stop();
  }
}, { attempts: 2 });

/** For so long nothing goes to the node over TCP, and what was open is gone; UDP goes on. */
async function cutSignalling(seconds) {
  const run = (...command) => {
    const { status, stderr } = spawnSync(command[0], command.slice(1), { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
  };
  run('nft', `table inet cut {
    chain output {
      type filter hook output priority 0; policy accept;
      ip daddr ${NODE_IP} tcp dport 8443 reject with tcp reset
    }
  }`);
  try {
    run('ss', '--kill', '--tcp', 'dst', NODE_IP);
    await sleep(1_000 * seconds);
  } finally {
    run('nft', 'delete', 'table', 'inet', 'cut');
  }
}

for (const browser of [chromium, firefox]) await suite.case(`signalling that is cut for ten seconds: media does not notice, and the socket is taken up again (${browser.kind})`, async (check, note) => {
  const node = await Corecast.start(`sdk-cut-${browser.kind}`);
  const [publisher, viewer] = [await page('publisher', browser), await page('viewer', browser)];
  try {
    await publish(publisher, 'cut', { transport: 'auto' });
    await watch(viewer, 'cut', { transport: 'auto' });
    await live(viewer);
    check((await told(viewer, 'connected'))[0].via === 'websocket', 'the socket is what is taken by default');
    await sleep(1_000);
    await viewer.evaluate(() => {
      let last = performance.now();
      window.longestGapMs = 0;
      const seen = (now) => { window.longestGapMs = Math.max(window.longestGapMs, now - last); last = now; window.video.requestVideoFrameCallback(seen); };
      window.video.requestVideoFrameCallback((now) => { last = now; window.video.requestVideoFrameCallback(seen); });
    });
    await cutSignalling(10);
    for (const each of [publisher, viewer]) {
      const ups = await until(`${each.name} has its socket again`, async () => { const found = await told(each, 'signalling'); return found.some(({ up }) => up) && found.map(({ up }) => up); }, { within: 60_000 });
      check(ups.join() === 'false,true', `the ${each.name}'s signalling was ${ups}`);
      check((await told(each, 'connected')).length === 1 && !/disconnected|restarted|idle/.test(await events(each)), `the ${each.name} was told ${await events(each)}`);
    }
    const longestGapMs = Math.round(await viewer.evaluate(() => window.longestGapMs));
    note({ longestGapMs });
    check(longestGapMs < 500, `no frame for ${longestGapMs} ms`);
    // The socket that was taken up hears of the stream: silence, which is noticed by figures, would be idle two seconds later.
    await viewer.evaluate(() => { window.session.onStats = () => {}; });
    await publisher.evaluate(() => window.session.close());
    await until('idle', () => viewer.evaluate(() => !window.session.live));
  } finally {
    await Promise.all([publisher, viewer].map((each) => each.close()));
    await node.stop();
  }
}, { attempts: 3 });

await suite.case('sound that may not play yet is told, the picture plays, and a click brings the sound', async (check) => {
  const node = await Corecast.start('sdk-sound');
  const strict = await Browser.start('chromium', { flags: ['--autoplay-policy=document-user-activation-required'] });
  try {
    const publisher = await page('publisher');
    await publish(publisher, 'sound');
    // Whatever a test evaluates in a page counts as a touch of it: the page runs by itself and tells in its log.
    const viewer = await strict.open('about:blank', 'viewer');
    await viewer.evaluateOnNewDocument(() => addEventListener('DOMContentLoaded', async () => {
      const video = document.createElement('video');
      document.body.prepend(video);
      const { Viewer } = await import('/sdk.js');
      const session = new Viewer({ stream: 'sound', transport: 'http' });
      for (const event of ['live', 'playblocked']) session.addEventListener(event, ({ detail }) => console.log(event, JSON.stringify(detail)));
      video.addEventListener('click', () => session.unmute());
      await session.attach(video);
    }));
    await viewer.goto(`${BASE}/`);
    await until('playblocked', () => viewer.log.some((line) => line.startsWith('playblocked')));
    await until('live', () => viewer.log.some((line) => line.startsWith('live')));
    check(viewer.log.includes('playblocked {"playing":true}'), `the page logged ${viewer.log}`);
    const sound = () => viewer.$eval('video', ({ muted, paused, currentTime }) => ({ muted, paused, currentTime }));
    let silent;
    await until('the picture plays', async () => { silent = await sound(); return !silent.paused && silent.currentTime > 0; }).catch(() => {});
    check(silent.muted && !silent.paused && silent.currentTime > 0, `before the click: ${JSON.stringify(silent)}`);
    await viewer.click('video');
    await until('sound', async () => { const { muted, paused } = await sound(); return !muted && !paused; });
    check(viewer.log.filter((line) => line.startsWith('playblocked')).length === 1, 'it was not blocked again');
    await publisher.close();
  } finally {
    await strict.close();
    await node.stop();
  }
}, { attempts: 2 });

await suite.case('refusals and lost nodes are explained', async (check, note) => {
  const node = await Corecast.start('sdk-refused', ['--publish-takeover', 'never']);
  const [first, second] = [await page('publisher'), await page('second')];
  try {
    await publish(first, 'taken');
    const failure = await publish(second, 'taken').then(() => null, (error) => error.message);
    const [error] = await told(second, 'error');
    note({ refused: error?.error });
    check(failure !== null && /publisher/.test(error?.error) && /another stream name/.test(error.error), `the second publisher was told ${JSON.stringify(error)}`);
    await node.stop();
    const heard = async (event, times, within) => until(event, async () => (await told(first, event)).length >= times, { within })
      .catch(async (error) => { throw new Error(`${error.message}: ${await events(first)}\n${first.log.join('\n')}\n${node.tail()}`); });
    await heard('reconnecting', 2);
    note({ lost: (await told(first, 'reconnecting')).at(-1).error });
    const again = await Corecast.start('sdk-again');
    try {
      await heard('connected', 2, 60_000);
    } finally {
      await again.stop();
    }
  } finally {
    // A page that is left open goes on publishing, to the node of the next attempt too.
    await Promise.all([first, second].map((each) => each.close()));
    await node.stop();
  }
}, { attempts: 2 });

await Promise.all([chromium, firefox].map((browser) => browser.close()));
suite.finish();
