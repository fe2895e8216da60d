// Networks that drop UDP: media comes over TCP on the port of HTTPS, from the beginning or when UDP is cut in mid-stream.

import { setTimeout as sleep } from 'node:timers/promises';
import { dropUdp, enter } from './lib/netns.mjs';
import { Browser, Publisher, Viewer, closePages, servePages, until } from './lib/browsers.mjs';
import { BASE, Corecast, ENDED_WITHIN_MS } from './lib/corecast.mjs';
import { judgePicture, summary, watch } from './lib/watching.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('no_udp');
const site = await servePages();
const chromium = await Browser.start('chromium');
const publishing = await Browser.start('chromium', { first: true });
const firefox = await Browser.start('firefox');

await suite.case('all UDP is dropped: Chromium publishes, Chromium and Firefox watch', async (check, note) => {
  const node = await Corecast.start('no-udp');
  const allow = dropUdp();
  try {
    const from = Date.now();
    // VP8: Debian's Firefox has no decoder of H.264.
    const publisher = await Publisher.start(publishing, site.base, node, 'tcp', { codec: 'video/VP8', width: 640, height: 360 });
    note({ publisherConnectedMs: Date.now() - from });
    const viewers = [];
    for (const browser of [chromium, firefox]) {
      const joined = Date.now();
      const viewer = await (await Viewer.start(browser, site.base, node, 'tcp', { name: browser.kind })).playing();
      note({ [`${browser.kind} first frame`]: `${Date.now() - joined} ms, page and offer included` });
      viewers.push(viewer);
    }
    await sleep(2_000);
    for (const seen of await watch(publisher, viewers, 6)) {
      note({ [seen.name]: summary(seen) });
      judgePicture(check, seen);
    }
    const workers = await node.workers();
    const paths = workers.flatMap(({ sessions }) => sessions).map(({ path }) => path);
    check(paths.length === 3 && paths.every((path) => path === 'tcp'), `the paths are ${JSON.stringify(paths)}`);
  } finally {
    allow();
    const { status, ms } = await node.stop();
    check(status === 0 && ms < ENDED_WITHIN_MS, `the node ended with ${status} after ${ms} ms`);
    await closePages(chromium, publishing, firefox);
  }
}, { attempts: 3 });

await suite.case('UDP is cut in mid-stream: the SDK brings the picture back', async (check, note) => {
  const node = await Corecast.start('udp-cut');
  let allow = () => {};
  const viewer = await chromium.open(`${BASE}/`, 'viewer');
  try {
    const publisher = await Publisher.start(publishing, site.base, node, 'cut', { codec: 'video/VP8', width: 640, height: 360 });
    await viewer.evaluate(async (stream) => {
      const { Viewer } = await import('/sdk.js');
      window.video = document.createElement('video');
      window.video.muted = true;
      document.body.prepend(window.video);
      window.session = new Viewer({ stream, transport: 'websocket' });
      await window.session.attach(window.video);
    }, 'cut');
    const frames = () => viewer.evaluate(() => window.video.getVideoPlaybackQuality().totalVideoFrames);
    await until('a picture', async () => await frames() > 30);
    const paths = async () => (await node.workers()).flatMap(({ sessions }) => sessions)
      .filter(({ direction }) => direction === 'play').map(({ path }) => path);
    check((await paths()).every((path) => path === 'udp'), `before: ${await paths()}`);
    // The viewer's alone: the publisher's page restarts nothing by itself.
    allow = dropUdp({ but: (await publisher.stats()).localPort });
    const cut = Date.now();
    await sleep(1_500);
    const still = await frames();
    await until('the picture is back', async () => await frames() > still + 10, { within: 30_000 });
    const backMs = Date.now() - cut;
    note({ backMs });
    check(backMs <= 12_000, `the picture was back after ${backMs} ms`);
    // ICE over TCP or TURN, whichever the browser nominates.
    const isConnection = (path) => ['tcp', 'turn-tcp', 'turn-tls'].includes(path);
    await until('its path is a connection', async () => (await paths()).every(isConnection), { within: 5_000 });
    note({ path: await paths() });
  } finally {
    allow();
    await node.stop();
    await closePages(chromium, publishing);
  }
}, { attempts: 3 });

await Promise.all([chromium.close(), publishing.close(), firefox.close()]);
site.close();
suite.finish();
