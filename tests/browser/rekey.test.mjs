// A session's keys change while the picture runs: a second connection takes over, and whoever watches sees every numbered frame, in
// order and without a gap, in the page's own element and what the SDK lays over it for a moment.
//
// The long form: CORECAST_REKEY_CHANGES=10 (changes of each case; 2 in the run).

import { setTimeout as sleep } from 'node:timers/promises';
import { enter } from './lib/netns.mjs';
import { Browser, Publisher, closePages, servePages, until } from './lib/browsers.mjs';
import { BASE, Corecast } from './lib/corecast.mjs';
import { figures } from './lib/judge.mjs';
import { barcode, sessionOf, watch } from './lib/rekeying.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('rekey');
const site = await servePages();
const publishing = await Browser.start('chromium', { first: true });
const watching = { chromium: await Browser.start('chromium'), firefox: await Browser.start('firefox') };
const CHANGES = Number(process.env.CORECAST_REKEY_CHANGES ?? 2);

for (const [kind, transport] of [['chromium', 'websocket'], ['chromium', 'http'], ['firefox', 'websocket']]) {
  await suite.case(`${kind} over ${transport}: a viewer's keys change ${CHANGES} times, every frame is seen`, async (check, note) => {
    const node = await Corecast.start(`rekey-${kind}-${transport}`);
    const page = await watching[kind].open(`${BASE}/`, 'viewer');
    try {
      const publisher = await Publisher.start(publishing, site.base, node, 'keys', { codec: 'video/VP8', width: 640, height: 360, maxBitrate: 800_000 });
      await page.evaluate(barcode);
      await page.evaluate(watch, { stream: 'keys', transport });
      await until('pictures', () => page.evaluate(() => window.probe.frames.length > 60), { within: 60_000 });
      const before = await sessionOf(node);
      await page.evaluate(() => { window.probe.frames = []; });
      const from = (await publisher.stats()).framesSent;
      for (let change = 1; change <= CHANGES; change += 1) {
        const done = await page.evaluate(() => window.session.rekey());
        check(done, `change ${change}: ${await page.evaluate(() => window.probe.failed.join())}`);
        await sleep(2_000);
      }
      const sent = (await publisher.stats()).framesSent - from;
      const { frames, overlays, rekeyed } = await page.evaluate(() => window.probe);
      const seen = figures({ frames, flags: [], beeps: [] });
      const after = await sessionOf(node);
      note({ frames: `${seen.frames} of ${sent}`, longestGapMs: seen.longestGapMs, backwards: seen.backwards, overlays, rekeys: after?.rekeys, keyAgeS: after?.key_age_s });
      check(rekeyed === CHANGES && after?.rekeys === CHANGES, `${rekeyed} changes here, ${after?.rekeys} at the node`);
      check(before?.session === after?.session, `session ${before?.session} became ${after?.session}`);
      check(overlays === CHANGES, `${overlays} elements were laid over`);
      const back = frames.findIndex(([frame], index) => index > 0 && frame < frames[index - 1][0]);
      check(seen.backwards === 0, `${seen.backwards} frames back: ${JSON.stringify(frames.slice(Math.max(0, back - 4), back + 4).map(([frame, at, over]) => [frame, Math.round(at), over]))}`);
      check(seen.frames >= 0.9 * sent, `${seen.frames} frames of ${sent} seen`);
      check(seen.longestGapMs <= 400, `a gap of ${seen.longestGapMs} ms`);
      check(await page.evaluate(() => document.querySelectorAll('video').length) === 1, 'the page has its own element alone again');
    } finally {
      await page.close();
      await node.stop();
      await closePages(publishing);
    }
  }, { attempts: 2 });
}

await suite.case('a second connection that is given up leaves the old picture and sound as they were', async (check) => {
  const node = await Corecast.start('rekey-given-up');
  const page = await watching.chromium.open(`${BASE}/`, 'viewer');
  try {
    const after = await page.evaluate(async () => {
      const { Handover } = await import('/sdk/handover.js');
      const video = Object.assign(document.createElement('video'), { playsInline: true });
      document.body.prepend(video);
      const canvas = document.createElement('canvas');
      const context = canvas.getContext('2d');
      const drawing = setInterval(() => context.fillRect(0, 0, Math.random() * 9, 9), 40);
      const audio = new AudioContext();
      const sound = audio.createMediaStreamDestination();
      const stream = (media) => new MediaStream([...media.getVideoTracks(), ...sound.stream.clone().getAudioTracks()]);
      const old = (video.srcObject = stream(canvas.captureStream(25)));
      await video.play();
      const states = [];
      // Given up before the new stream has shown anything, and after it was heard and seen.
      for (const early of [true, false]) {
        const handover = new Handover(video, stream(canvas.captureStream(25)));
        const begun = handover.begin();
        if (!early) await begun;
        handover.cancel();
        await begun;
        states.push({
          sounds: old.getAudioTracks().every((track) => track.enabled), shows: video.srcObject === old && !video.paused,
          alone: document.querySelectorAll('video').length === 1,
        });
      }
      clearInterval(drawing);
      await audio.close();
      return states;
    });
    for (const [index, { sounds, shows, alone }] of after.entries()) {
      check(sounds && shows && alone, `${index ? 'after' : 'before'} it was seen: sound ${sounds}, picture ${shows}, one element ${alone}`);
    }
  } finally {
    await page.close();
    await node.stop();
  }
}, { attempts: 2 });

/** Brings the page's element where nothing can be laid over it, and back. Resolves when it is there. */
const elsewhere = {
  paused: { enter: (page) => page.evaluate(() => { window.video.pause(); }), leave: (page) => page.evaluate(() => window.video.play()), holds: () => window.video.paused },
  'in full screen': {
    enter: (page) => page.click('#fullscreen'), leave: (page) => page.evaluate(() => document.exitFullscreen()),
    holds: () => document.fullscreenElement === window.video,
  },
  'in picture in picture': {
    enter: (page) => page.click('#pip'), leave: (page) => page.evaluate(() => document.exitPictureInPicture()),
    holds: () => document.pictureInPictureElement === window.video,
  },
  'on a page behind another': {
    enter: async (page) => { page.front = await page.browser().newPage(); await page.front.bringToFront(); },
    leave: async (page) => { await page.front.close(); await page.bringToFront(); },
    holds: () => document.hidden,
  },
};

for (const [kind, wheres] of [['chromium', Object.keys(elsewhere)], ['firefox', ['paused', 'in full screen', 'on a page behind another']]]) {
  await suite.case(`${kind}: keys change while the element is ${wheres.join(', ')}`, async (check, note) => {
    const node = await Corecast.start(`rekey-elsewhere-${kind}`);
    const page = await watching[kind].open(`${BASE}/`, 'viewer');
    try {
      await Publisher.start(publishing, site.base, node, 'keys', { codec: 'video/VP8', width: 640, height: 360, maxBitrate: 800_000 });
      await page.evaluate(async () => {
        const video = (window.video = Object.assign(document.createElement('video'), { muted: true, playsInline: true }));
        video.style.cssText = 'width:320px;height:180px';
        const button = (id, act) => Object.assign(document.createElement('button'), { id, textContent: id, onclick: act });
        document.body.prepend(video, button('fullscreen', () => video.requestFullscreen()), button('pip', () => video.requestPictureInPicture()));
        const { Viewer } = await import('/sdk.js');
        window.failed = [];
        window.session = new Viewer({ stream: 'keys' });
        window.session.on('rekeyfailed', ({ detail }) => window.failed.push(detail.error.message));
        await window.session.attach(video);
      });
      const plays = async () => {
        const from = await page.evaluate(() => window.video.currentTime);
        await until('it plays', () => page.evaluate((time) => window.video.currentTime > time + 0.3, from), { within: 20_000 });
      };
      await plays();
      for (const where of wheres) {
        const { enter: go, leave, holds } = elsewhere[where];
        await go(page);
        await until(`the element is ${where}`, () => page.evaluate(holds), { within: 10_000 });
        const done = await page.evaluate(() => window.session.rekey());
        check(done, `${where}: ${await page.evaluate(() => window.failed.join())}`);
        check(await page.evaluate(holds), `${where}: no longer so`);
        if (where !== 'paused') await plays();
        await leave(page);
        await plays();
        const { isNew, elements } = await page.evaluate(() => ({
          isNew: window.session.pc.getReceivers().every(({ track }) => window.video.srcObject.getTracks().includes(track)),
          elements: document.querySelectorAll('video').length,
        }));
        check(isNew, `${where}: the element plays another stream than the session's connection brings`);
        check(elements === 1, `${where}: ${elements} elements`);
        note({ [where]: 'changed' });
      }
    } finally {
      await page.front?.close().catch(() => {});
      await page.close();
      await node.stop();
      await closePages(publishing);
    }
  }, { attempts: 2 });
}

for (const [kind, transport, simulcast] of [['chromium', 'websocket', true], ['firefox', 'http', false]]) {
  await suite.case(`${kind} over ${transport}: a publisher's keys change ${CHANGES} times${simulcast ? ', in three sizes' : ''}`, async (check, note) => {
    const node = await Corecast.start(`rekey-publisher-${kind}`);
    const [publisher, viewer] = [await (kind === 'firefox' ? watching.firefox : publishing).open(`${BASE}/`, 'publisher'), await watching.chromium.open(`${BASE}/`, 'viewer')];
    try {
      await publisher.evaluate(async (options) => {
        const { Publisher, capture } = await import('/sdk.js');
        window.session = new Publisher({ stream: 'keys', codec: 'VP8', maxBitrate: 1_000_000, maxFramerate: 15, ...options });
        window.failed = [];
        window.session.on('rekeyfailed', ({ detail }) => window.failed.push(`${detail.error.code}: ${detail.error.message}`));
        await window.session.start(await capture({ width: 1280, height: 720, frameRate: 15, microphone: false }));
      }, { transport, simulcast });
      await viewer.evaluate(async () => {
        const { Viewer } = await import('/sdk.js');
        const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
        document.body.prepend(video);
        window.times = [];
        const shown = (now) => { window.times.push(now); video.requestVideoFrameCallback(shown); };
        video.requestVideoFrameCallback(shown);
        window.connections = 0;
        window.session = new Viewer({ stream: 'keys' });
        window.session.on('connected', () => { window.connections += 1; });
        await window.session.attach(video);
      });
      await until('pictures', () => viewer.evaluate(() => window.times.length > 60), { within: 60_000 });
      const before = await sessionOf(node, 'publish');
      await viewer.evaluate(() => { window.times = []; });
      for (let change = 1; change <= CHANGES; change += 1) {
        const done = await publisher.evaluate(() => window.session.rekey());
        check(done, `change ${change}: ${await publisher.evaluate(() => window.failed.join())}`);
        await sleep(2_000);
      }
      const times = await viewer.evaluate(() => window.times);
      const longestGapMs = Math.round(Math.max(...times.slice(1).map((time, index) => time - times[index])));
      const after = await sessionOf(node, 'publish');
      note({ frames: times.length, longestGapMs, rekeys: after?.rekeys, keyAgeS: after?.key_age_s });
      check(after?.rekeys === CHANGES && before?.session === after?.session, `session ${before?.session} became ${after?.session} after ${after?.rekeys} changes`);
      check(longestGapMs <= 1_000, `a gap of ${longestGapMs} ms`);
      check(await viewer.evaluate(() => window.connections) === 1, 'the viewer connected once');
      check(times.length > 20 * CHANGES, `${times.length} pictures`);
    } finally {
      await Promise.all([publisher, viewer].map((page) => page.close()));
      await node.stop();
    }
  }, { attempts: 2 });
}

await Promise.all([publishing, watching.chromium, watching.firefox].map((each) => each.close()));
suite.finish();
