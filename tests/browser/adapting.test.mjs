// A browser publishes three sizes, and viewers behind links of their own get what those carry: each settles on its layer and stays
// there without a freeze; a link that widens and narrows again moves its viewer up and down.
//
//   node tests/browser/adapting.test.mjs                            VP8, watched for 10 s, as in every run
//   CORECAST_ADAPTING=whole node tests/browser/adapting.test.mjs    each codec, and Firefox at either end, watched for 60 s
//
// What is judged is what a viewer's page was given to show: the width of each frame and the time between frames. A gap in which
// the machine did not let the viewer's or the publisher's page run does not count.

import { setTimeout as sleep } from 'node:timers/promises';
import { disableOffloads, enter, Links } from './lib/netns.mjs';
import { Browser, Publisher, Viewer, call, closePages, servePages, until } from './lib/browsers.mjs';
import { Corecast } from './lib/corecast.mjs';
import { change } from './lib/judge.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
disableOffloads();
const suite = new Suite('adapting');
const isWhole = process.env.CORECAST_ADAPTING === 'whole';
const WATCH_MS = isWhole ? 60_000 : 10_000;
const ATTEMPTS = 3;
const site = await servePages();
const STREAM = 'adapting';

/** 960 by 540 at 20 frames a second: what two cores can encode three times in every codec, beside three decoders. */
const PICTURE = { width: 960, height: 540, fps: 20 };
const LAYERS = [
  { rid: 'l', scaleResolutionDownBy: 4, maxBitrate: 120_000 }, { rid: 'm', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'h', scaleResolutionDownBy: 1, maxBitrate: 1_500_000 },
];
const WIDTHS = { l: 240, m: 480, h: 960 };
/** What a viewer behind so many kilobits a second is to get. */
const VIEWERS = [[5_000, 'h'], [1_200, 'm'], [400, 'l']];
const SETTLES_MS = 8_000;
const FREEZE_MS = 500;
/** What a link that narrows to a tenth may cost its viewer. In every run, beside whatever else a machine does, it is more. */
const DOWN_MS = isWhole ? 1_000 : 3_000;
const NARROWS_FREEZE_MS = isWhole ? 500 : 2_000;

/** The layers as the node measures them, by rid. */
async function published(node) {
  const streams = (await node.workers()).flatMap(({ streams: all }) => all).filter(({ name, origin }) => name === STREAM && origin);
  return Object.fromEntries(streams.flatMap(({ encodings }) => encodings).filter(({ kind, rid }) => kind === 'video' && rid).map((each) => [each.rid, each]));
}

/** What the node says of its viewers' networks. */
async function networks(node) {
  return (await node.workers()).flatMap(({ sessions }) => sessions).filter(({ direction }) => direction === 'play').map(({ network }) => network);
}

async function publish(browser, node, codec) {
  const scalable = ['VP9', 'AV1'].includes(codec) ? { scalabilityMode: 'L1T1' } : {};
  const publisher = await Publisher.start(browser, site.base, node, STREAM, {
    codec: `video/${codec}`, ...PICTURE, layers: LAYERS.map((layer) => ({ ...layer, ...scalable })),
  });
  const reaches = ({ rid, maxBitrate }, found) => found[rid]?.alive && found[rid].bits_per_second >= 0.7 * maxBitrate;
  await until('the layers reach their rates', async () => {
    const found = await published(node);
    return LAYERS.every((layer) => reaches(layer, found));
  }, { within: 60_000 }).catch(async (error) => { throw new Error(`${error.message}: ${JSON.stringify(await published(node))} ${JSON.stringify(await publisher.stats())}`); });
  return publisher;
}

/** A viewer behind a link of its own, which is there before it asks for anything. */
async function watcher(browser, node, links, kbps) {
  let link;
  const start = await Viewer.ready(browser, site.base, node, STREAM, {
    name: `${browser.name} behind ${kbps} kbit/s`, sound: false, gathered: (ports) => { link = links.add(ports, kbps); },
  });
  return Object.assign(await start(), { link, kbps });
}

/** Gaps between the frames a viewer was given, in milliseconds, without what pages did not run for; longest first. */
function gapsOf(frames, stalls) {
  return frames.slice(1).map(([, at], index) => {
    const from = frames[index][1];
    const stalled = stalls.reduce((sum, [begin, end]) => sum + Math.max(0, Math.min(end, at) - Math.max(begin, from)), 0);
    return { at: from, ms: Math.round(at - from), judgedMs: Math.round(at - from - stalled) };
  }).sort((a, b) => b.judgedMs - a.judgedMs);
}

/** What a viewer saw since the last look: frames as `[number, time since the epoch, latency, width]`. */
async function seen(viewer, publisher) {
  const { frames, origin, stalls } = await viewer.take();
  viewer.stalls = [...(viewer.stalls ?? []), ...stalls];
  publisher.stalls = [...(publisher.stalls ?? []), ...await call(publisher.page, 'takeStalls')];
  return frames.map(([number, at, latency, width]) => [number, origin + at, latency, width]);
}

const stallsOf = (viewer, publisher) => [...viewer.stalls, ...publisher.stalls];
const layerOf = (width) => Object.keys(WIDTHS).find((rid) => Math.abs(WIDTHS[rid] - width) <= 4) ?? `${width}`;

/** Runs of layers, as `l 1200 ms, m 300 ms`. */
function course(frames, from) {
  const runs = [];
  for (const [, at, , width] of frames) {
    const rid = layerOf(width);
    if (runs.at(-1)?.rid !== rid) runs.push({ rid, afterMs: Math.round(at - from) });
  }
  return runs;
}
const told = (runs) => runs.map(({ rid, afterMs }) => `${rid} ${afterMs}`).join(', ');

async function settles(check, note, viewer, publisher, wanted) {
  const from = await viewer.stats().then(({ connectedAt }) => connectedAt);
  const origin = await viewer.page.evaluate(() => performance.timeOrigin);
  await sleep(Math.max(0, origin + from + SETTLES_MS + 500 - Date.now()));
  const runs = course(await seen(viewer, publisher), origin + from);
  const last = runs.at(-1);
  note({ [`${viewer.page.name} settles`]: told(runs) });
  check(last?.rid === wanted && last.afterMs <= SETTLES_MS, `${viewer.page.name} is to settle on ${wanted} within ${SETTLES_MS} ms: ${told(runs)}`);
}

async function stays(check, note, viewer, publisher, node, wanted, before) {
  const frames = await seen(viewer, publisher);
  const gaps = gapsOf(frames, stallsOf(viewer, publisher));
  const stats = change(before, await viewer.stats());
  const runs = course(frames, frames[0]?.[1] ?? 0);
  note({ [`${viewer.page.name} stays`]: {
    course: told(runs), frames: frames.length, longest: gaps.slice(0, 2), freezes: stats.freezes, frozenS: stats.frozenS,
    lost: stats.lost, nack: stats.nack, pli: stats.pli, ...viewer.link.carried(),
  } });
  // Of what is published: Firefox draws fewer frames than it is asked for.
  const rate = (await published(node))[wanted].frames_per_second;
  check(rate > 0 && frames.length >= 0.8 * rate * WATCH_MS / 1_000, `${viewer.page.name} was shown ${frames.length} frames in ${WATCH_MS} ms of ${rate}/s`);
  check(runs.length === 1 && runs[0].rid === wanted, `${viewer.page.name} is to stay on ${wanted}: ${told(runs)}`);
  check(!(gaps[0]?.judgedMs > FREEZE_MS), `${viewer.page.name}: a freeze of ${gaps[0]?.judgedMs} ms`);
}

/** The link of a viewer changes, and its layer with it. */
async function moves(check, note, viewer, publisher, node, { kbps, wanted, withinMs, freezeMs }) {
  await seen(viewer, publisher);
  const from = Date.now();
  viewer.link.set(kbps);
  await sleep(withinMs + 5_000);
  const frames = await seen(viewer, publisher);
  const runs = course(frames, from);
  const gaps = gapsOf(frames, stallsOf(viewer, publisher));
  const [reached] = runs.filter(({ rid }) => rid === wanted);
  const network = (await networks(node)).find(({ switches }) => switches[0] && Date.now() - from > switches[0].ago_ms);
  note({ [`${viewer.page.name} to ${kbps} kbit/s`]: { course: told(runs), longest: gaps.slice(0, 2), why: network?.why_layer, switches: network?.switches.slice(0, 4) } });
  check(reached?.afterMs <= withinMs && runs.at(-1).rid === wanted, `${viewer.page.name} is to be on ${wanted} within ${withinMs} ms of ${kbps} kbit/s: ${told(runs)}`);
  check(!(gaps[0]?.judgedMs > freezeMs), `${viewer.page.name}, ${kbps} kbit/s: a freeze of ${gaps[0]?.judgedMs} ms`);
}

async function adapts(check, note, publishing, watching, codec, list) {
  const node = await Corecast.start(`adapting-${publishing.kind}-${codec}`);
  const links = new Links();
  try {
    const publisher = await publish(publishing, node, codec);
    note({ layers: Object.values(await published(node)).map(({ rid, width, height, bits_per_second: rate, frames_per_second: fps }) => `${rid} ${width}×${height} ${Math.round(rate / 1_000)} kbit/s ${fps}/s`).join(', ') });
    const viewers = [];
    for (const [kbps, wanted] of list) viewers.push([await watcher(watching, node, links, kbps), wanted]);
    for (const [viewer, wanted] of viewers) await settles(check, note, viewer, publisher, wanted);
    const before = new Map();
    for (const [viewer] of viewers) before.set(viewer, await viewer.stats());
    await sleep(WATCH_MS);
    for (const [viewer, wanted] of viewers) await stays(check, note, viewer, publisher, node, wanted, before.get(viewer));
    note({ why: (await networks(node)).map((network) => `${network?.layer}: ${network?.why_layer}`) });
    const [narrowest] = viewers.at(-1);
    await moves(check, note, narrowest, publisher, node, { kbps: 5_000, wanted: 'h', withinMs: SETTLES_MS, freezeMs: FREEZE_MS });
    await sleep(isWhole ? 5_000 : 1_000);
    await moves(check, note, narrowest, publisher, node, { kbps: 400, wanted: 'l', withinMs: DOWN_MS, freezeMs: NARROWS_FREEZE_MS });
    await narrowest.screenshot(`adapting-${publishing.kind}-${codec}.png`);
  } finally {
    links.stop();
    await node.stop();
    await closePages(publishing, watching);
  }
}

const chromium = await Browser.start('chromium');
const publishing = await Browser.start('chromium', { first: true });
for (const codec of isWhole ? ['H264', 'VP8', 'VP9', 'AV1'] : ['VP8']) {
  await suite.case(`Chromium publishes ${codec}`, (check, note) => adapts(check, note, publishing, chromium, codec, VIEWERS), { attempts: ATTEMPTS });
}
if (isWhole) {
  const firefox = await Browser.start('firefox');
  await suite.case('Firefox publishes VP8', (check, note) => adapts(check, note, firefox, chromium, 'VP8', VIEWERS), { attempts: ATTEMPTS });
  await suite.case('Firefox watches VP8', (check, note) => adapts(check, note, publishing, firefox, 'VP8', VIEWERS.slice(-1)), { attempts: ATTEMPTS });
  await firefox.close();
}

await Promise.all([chromium.close(), publishing.close()]);
site.close();
suite.finish();
