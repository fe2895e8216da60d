// Minutes of picture and sound while everybody's keys change again and again: publisher and viewers each at their own time, over UDP
// and where there is no UDP, by WebSocket and by HTTP. Frames are read off what can be seen; what is heard is recorded from each
// browser's own sound card.
//
//   node tests/browser/rekey_minutes.test.mjs                            half a minute, in which each is asked for new keys twice
//   CORECAST_REKEY_MINUTES=10 node tests/browser/rekey_minutes.test.mjs  as it is set: a lifetime of 60 s
//   CORECAST_REKEY_CONTROL=1                                             of such minutes: the same with keys that nobody changes, which
//                                                                       says what the machine does by itself

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dropUdp, enter } from './lib/netns.mjs';
import { Browser, servePages, until } from './lib/browsers.mjs';
import { BASE, Corecast } from './lib/corecast.mjs';
import { Listener } from './lib/heard.mjs';
import { barcode, watch } from './lib/rekeying.mjs';
import { Suite } from './lib/suite.mjs';

const MINUTES = Number(process.env.CORECAST_REKEY_MINUTES ?? 0);
/** Nobody changes anything: what is seen then is the machine's own. */
const IS_CONTROL = Boolean(process.env.CORECAST_REKEY_CONTROL);
const LIFETIME_S = 60;
/** Two frames are presented at least so far apart: a screen's refresh. */
const REFRESH_MS = 1_000 / 60;
/** What is wanted; and what even a machine that others use meanwhile must give in half a minute with as many changes. */
const WANTED = MINUTES ? { shown: 0.99, gapMs: 100, silenceMs: 40 } : { shown: 0.9, gapMs: 500, silenceMs: 300 };
const FPS = 25;
const PICTURE = { width: 640, height: 360, fps: FPS, tone: 0.2 };

await enter();
const suite = new Suite('rekey_minutes');
const site = await servePages();
const NAMES = ['chromium1', 'chromium2', 'firefox1'];
// Firefox makes no sound without a card to play it to, not even one that it only publishes.
const listener = await Listener.start([...NAMES, 'publisher']);
const browsers = {};
for (const name of NAMES) browsers[name] = await Browser.start(name.slice(0, -1), { name, heard: listener.on(name) });
const publishing = { chromium: await Browser.start('chromium', { first: true }), firefox: await Browser.start('firefox', { name: 'firefox publisher', heard: listener.on('publisher') }) };
const directory = mkdtempSync(path.join(tmpdir(), 'corecast-keys-'));
const config = path.join(directory, 'node.toml');
writeFileSync(config, `[cors]\norigins = ['${site.base}']\n[media]\nkey_lifetime_s = ${MINUTES && !IS_CONTROL ? LIFETIME_S : 3_600}\n`);

/** Publishes the test's own picture and sound by the SDK. */
async function publish({ url, transport, keyLifetimeS, picture }) {
  const { Publisher } = await import('/sdk.js');
  const { video, audio } = await window.probe.tracks(picture);
  window.failed = [];
  window.rekeyed = 0;
  window.session = new Publisher({ url, stream: 'keys', transport, keyLifetimeS, codec: 'VP8', maxBitrate: 800_000, maxFramerate: 2 * picture.fps, simulcast: false });
  window.session.on('rekeyed', () => { window.rekeyed += 1; });
  window.session.on('rekeyfailed', ({ detail }) => window.failed.push(`${detail.error.code}: ${detail.error.message}`));
  await window.session.start(new MediaStream([audio, video]));
}

const drawn = (page) => page.evaluate(() => ({ drawn: window.probe.drawn, skipped: window.probe.skipped, rekeyed: window.rekeyed, failed: window.failed }));

/** What one viewer saw and heard. Of minutes every gap is judged; in the short form, beside whatever a machine does, those that a change was near. */
function judge({ frames, changes, timeOrigin }, { gaps }) {
  const readable = frames.filter(([number]) => number >= 0);
  const seen = new Set(readable.map(([number]) => number));
  const isNear = (atMs) => changes.some(([from, to]) => atMs > from - 500 && atMs < to + 3_000);
  let unread = 0;
  const [intervals, backs] = [[], []];
  for (const [index, [number, atMs, element, , uncalled]] of readable.entries()) {
    if (!index) continue;
    const [before, beforeMs, elementBefore] = readable[index - 1];
    if (number < before) backs.push(`${before} to ${number}, element ${elementBefore} to ${element}, ${Math.round(atMs - beforeMs)} ms, ${isNear(atMs) ? 'change' : 'between'}`);
    // What lies between two that were read, as far as the browser says that it presented it.
    unread += Math.max(0, Math.min(number - before - 1, uncalled));
    // Where the browser presented another one meanwhile without a call, at another refresh, neither part of the time is longer.
    const apartMs = Math.round(atMs - beforeMs - REFRESH_MS * uncalled);
    if (apartMs > 60) intervals.push([apartMs, isNear(atMs) ? 'change' : 'between', ...(uncalled ? [`and ${uncalled} uncalled`] : [])]);
  }
  const silences = gaps.map(([at, ms]) => [ms, isNear(at - timeOrigin) ? 'change' : 'between']);
  const longest = (list) => list.sort(([a], [b]) => b - a);
  const numbers = readable.map(([number]) => number);
  return {
    seen: seen.size, unread, of: Math.max(...numbers) - Math.min(...numbers) + 1, unreadable: frames.length - readable.length, backs,
    intervals: longest(intervals), silences: longest(silences),
  };
}

/** Waits for the end, telling every minute how far it is. */
async function pass(seconds, viewers) {
  for (const from = Date.now(); Date.now() < from + 1_000 * seconds;) {
    await sleep(Math.min(60_000, from + 1_000 * seconds - Date.now()));
    const counts = await Promise.all(viewers.map(({ page }) => page.evaluate(() => `${window.probe.rekeyed} changes, ${window.probe.frames.length} frames`)));
    console.log(`    ${Math.round((Date.now() - from) / 1_000)} s: ${counts.join('; ')}`);
  }
}

for (const [kind, transport, hasUdp] of [['chromium', 'websocket', true], ['firefox', 'http', false], ['firefox', 'websocket', true], ['chromium', 'http', false]].slice(0, MINUTES ? 4 : 2)) {
  await suite.case(`${kind} publishes by ${transport} ${hasUdp ? 'over UDP' : 'without UDP'}: ${MINUTES ? `${MINUTES} min, ${IS_CONTROL ? 'nobody changes keys' : `a key lives ${LIFETIME_S} s`}` : 'everybody changes twice'}`, async (check, note) => {
    const node = await Corecast.start(`rekey-minutes-${kind}`, ['--config', config]);
    const allow = hasUdp ? () => {} : dropUdp();
    const pages = [];
    try {
      const publisher = await publishing[kind].open(`${site.base}/source.html`, 'publisher');
      pages.push(publisher);
      await publisher.waitForFunction(() => window.probe?.ready);
      const keyLifetimeS = MINUTES && !IS_CONTROL ? LIFETIME_S : undefined;
      await publisher.evaluate(publish, { url: BASE, transport, keyLifetimeS, picture: PICTURE });
      const viewers = [];
      for (const [name, how] of [['chromium1', 'websocket'], ['chromium2', 'http'], ['firefox1', hasUdp ? 'websocket' : 'http']]) {
        const page = await browsers[name].open(`${BASE}/`, `${name} by ${how}`);
        pages.push(page);
        await page.evaluate(barcode);
        await page.evaluate(watch, { stream: 'keys', transport: how, muted: false, keyLifetimeS });
        await until(`${name}: pictures`, () => page.evaluate(() => window.probe.frames.length > 60), { within: 60_000 });
        viewers.push({ name: page.name, page, recording: listener.record(name) });
      }
      await sleep(2_000);
      for (const { page } of viewers) await page.evaluate(() => { window.probe.frames = []; window.probe.changes = []; window.probe.rekeyed = 0; });
      const before = await drawn(publisher);
      if (MINUTES) await pass(60 * MINUTES, viewers);
      else for (let change = 0; change < 2; change += 1) {
        for (const { page } of [...viewers, { page: publisher }]) {
          check(await page.evaluate(() => window.session.rekey()), `${page.name}: change ${change + 1}`);
          await sleep(1_500);
        }
      }
      const after = await drawn(publisher);
      const sessions = (await node.workers()).flatMap((worker) => worker.sessions);
      note({ publisher: { ...after, skipped: after.skipped - before.skipped }, paths: sessions.map(({ direction, path: by, rekeys, key_age_s: age }) => `${direction} ${by}: ${rekeys} changes, key of ${age} s`) });
      const atLeast = IS_CONTROL ? 0 : MINUTES ? Math.floor((60 * MINUTES) / (1.1 * LIFETIME_S)) - 1 : 2;
      check(after.rekeyed >= atLeast && after.failed.length === 0, `the publisher changed ${after.rekeyed} times: ${after.failed}`);
      check(sessions.length === 1 + viewers.length && sessions.every(({ path: by }) => (by === 'udp') === hasUdp), `sessions and paths: ${sessions.map(({ path: by }) => by)}`);
      for (const { name, page, recording } of viewers) {
        const seen = await page.evaluate(() => ({ frames: window.probe.frames, changes: window.probe.changes, failed: window.probe.failed, rekeyed: window.probe.rekeyed, timeOrigin: performance.timeOrigin }));
        const heard = recording.stop();
        const { seen: read, unread, of, unreadable, backs, intervals, silences } = judge(seen, heard);
        const frames = read + unread;
        const drawnMeanwhile = of - (after.skipped - before.skipped);
        note({ [name]: { frames: `${frames} of ${drawnMeanwhile}`, unread, unreadable, backs, changes: seen.rekeyed, longest: intervals.slice(0, 4).map((each) => each.join(' ')), silences: silences.slice(0, 4).map((each) => each.join(' ')), heardS: heard.heardS } });
        check(seen.rekeyed >= atLeast && seen.failed.length === 0, `${name}: ${seen.rekeyed} changes: ${seen.failed}`);
        check(frames >= WANTED.shown * drawnMeanwhile, `${name}: ${frames} frames of ${drawnMeanwhile}`);
        check(backs.length === 0, `${name}: frames back: ${backs}`);
        const [interval, silence] = [intervals, silences].map((list) => list.find(([, where]) => MINUTES || where === 'change')?.[0] ?? 0);
        check(interval <= WANTED.gapMs, `${name}: ${interval} ms between two frames`);
        check(heard.heardS > 0.9 * heard.seconds && silence <= WANTED.silenceMs, `${name}: ${heard.heardS} s of ${heard.seconds} heard, a silence of ${silence} ms`);
      }
    } finally {
      allow();
      await Promise.all(pages.map((page) => page.close()));
      await node.stop();
    }
  }, { attempts: MINUTES ? 1 : 2 });
}

await Promise.all([...Object.values(browsers), ...Object.values(publishing)].map((each) => each.close()));
await listener.stop();
rmSync(directory, { recursive: true, force: true });
site.close();
suite.finish();
