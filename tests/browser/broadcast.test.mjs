// One publisher, three viewers, every codec, one and two cores, both I/O backends: every frame is read off the
// viewers' pictures and compared with what the publisher sent.

import { enter } from './lib/netns.mjs';
import { Browser, Publisher, Viewer, servePages } from './lib/browsers.mjs';
import { Corecast, ENDED_WITHIN_MS } from './lib/corecast.mjs';
import { judgePicture, judgeSync, reachesBitrate, summary, watch } from './lib/watching.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('broadcast');
const site = await servePages();
const chromium = await Browser.start('chromium');
const publishing = await Browser.start('chromium', { first: true });
const EXTRA_VIEWERS = 10;

/** Which workers hold this stream's publisher and viewers. */
async function placement(node, stream) {
  const workers = await node.workers();
  const where = (direction) => workers
    .filter(({ sessions }) => sessions.some((session) => session.stream === stream && session.direction === direction))
    .map(({ worker }) => worker);
  return { workers, publisher: where('publish'), viewers: where('play') };
}

const isSpread = ({ publisher, viewers }) => viewers.some((worker) => !publisher.includes(worker));

async function broadcast(check, note, { flags, codec, seconds = 20, browsers = [chromium, chromium, chromium], spread = false,
  options = {}, label = codec, mbps = 1.5 }) {
  const node = await Corecast.start(`broadcast-${label}`, flags);
  const ends = [];
  try {
    const stream = 'b1';
    const publisher = await Publisher.start(publishing, site.base, node, stream, { codec: `video/${codec}`, ...options });
    ends.push(publisher);
    let viewers = [];
    for (const [index, browser] of browsers.entries()) {
      const viewer = await Viewer.start(browser, site.base, node, stream, { name: `${browser.kind} ${index + 1}` });
      ends.push(viewer);
      viewers.push(await viewer.playing());
    }
    if (spread) {
      // Sessions are hashed to workers: more of them until one is elsewhere than the publisher.
      for (let extra = 0; !isSpread(await placement(node, stream)); extra++) {
        if (!check(extra < EXTRA_VIEWERS, `all of ${browsers.length + extra} viewers are on the publisher's worker`)) break;
        const viewer = await Viewer.start(chromium, site.base, node, stream, { name: `chromium extra ${extra + 1}`, sound: false });
        await viewer.playing();
        // Three decoders are what the machine has room for: the newcomer, if elsewhere, replaces the first.
        const spare = isSpread(await placement(node, stream)) ? viewers[0] : viewer;
        if (spare !== viewer) viewers = [viewer, ...viewers.slice(1)];
        ends.push(viewer);
        await spare.leave();
        ends.splice(ends.indexOf(spare), 1);
        if (spare !== viewer) viewer.silent = true;
      }
    }
    const reached = await reachesBitrate(publisher, mbps);
    note({ bitrate: `${reached.mbps} Mbit/s after ${reached.seconds.toFixed(0)} s` });
    const cpu = node.cpuSeconds();
    const all = await watch(publisher, viewers, seconds);
    note({ cpuPercent: Math.round((100 * (node.cpuSeconds() - cpu)) / seconds) });
    for (const [index, seen] of all.entries()) {
      note({ [seen.name]: summary(seen) });
      judgePicture(check, seen);
      check(seen.change.lost + seen.change.audioLost <= seen.overrun, `${seen.name}: ${seen.change.lost} video and ${seen.change.audioLost} audio packets lost, ${seen.overrun} of them by this machine's sockets`);
      check(new RegExp(codec, 'i').test(seen.stats.codec), `${seen.name}: plays ${seen.stats.codec}`);
      check(seen.change.freezes === 0 || Number.isNaN(seen.change.freezes), `${seen.name}: ${seen.change.freezes} freezes by its own count`);
      // A headless Firefox without a sound device plays nothing that could be listened to.
      if (!viewers[index].silent && browsers[index]?.kind !== 'firefox') judgeSync(check, seen, seconds);
    }
    const sent = await publisher.stats();
    note({ publisher: { codec: sent.codec, size: `${sent.width}x${sent.height}`, frames: sent.framesSent, drawn: sent.drawn,
      keyFrames: sent.keyFrames, pli: sent.pli, nack: sent.nack, encoder: sent.encoder, dtls: sent.dtls, srtp: sent.srtp } });

    const { workers, publisher: at, viewers: on } = await placement(node, stream);
    const sum = (field) => workers.reduce((total, worker) => total + (worker[field] ?? 0), 0);
    note({ node: { publisher: at, viewers: on, lane: sum('lane_packets_sent'), segments: sum('segments_sent'),
      messages: sum('messages_sent'), io: workers.map(({ io }) => io), dropped: workers.map(({ dropped }) => dropped) } });
    check(at.length === 1, `the publisher is on workers [${at}]`);
    if (spread) {
      check(isSpread({ publisher: at, viewers: on }), `publisher on ${at}, viewers on ${on}`);
      check(sum('lane_packets_sent') > 0, 'no packet went over a lane');
    }
    const io = flags[flags.indexOf('--io') + 1];
    if (flags.includes('--io')) check(workers.every((worker) => worker.io === io), `io is ${workers.map((worker) => worker.io)}, asked for ${io}`);
    await Promise.all(viewers.map((viewer) => viewer.screenshot(`broadcast-${label}-${viewer.page.name}.png`)));
  } finally {
    for (const end of ends) await end.leave().catch((error) => check(false, `leaving: ${error.message}`));
    const { status, ms } = await node.stop();
    check(status === 0 && ms < ENDED_WITHIN_MS, `the node ended with ${status} after ${ms} ms`);
  }
}

const cases = [
  ['H.264, one core, io_uring', { codec: 'H264', flags: ['--cores', '0', '--io', 'uring'], label: 'h264-one-core' }],
  ['H.264, two cores, io_uring', { codec: 'H264', flags: ['--cores', '0,1', '--io', 'uring'], spread: true, label: 'h264-uring' }],
  ['H.264, two cores, mmsg', { codec: 'H264', flags: ['--cores', '0,1', '--io', 'mmsg'], spread: true, label: 'h264-mmsg' }],
  ['VP9', { codec: 'VP9', flags: [], seconds: 5, mbps: 1, browsers: [chromium] }],
  // Two cores encode AV1 in software: a smaller picture.
  ['AV1', { codec: 'AV1', flags: [], seconds: 5, mbps: 0.8, browsers: [chromium], options: { width: 640, height: 360 } }],
];
for (const [name, what] of cases) await suite.case(name, (check, note) => broadcast(check, note, what), { attempts: 3 });

await suite.case('VP8, Firefox and Chromium', async (check, note) => {
  const firefox = await Browser.start('firefox');
  try {
    await broadcast(check, note, { codec: 'VP8', flags: [], browsers: [firefox, chromium], mbps: 0.8,
      options: { width: 640, height: 360 } });
  } finally {
    await firefox.close();
  }
}, { attempts: 3 });

await Promise.all([chromium.close(), publishing.close()]);
site.close();
suite.finish();
