// The measuring itself, without a node: the publisher's page is connected directly to viewers' pages. Two cases must
// be found good; sound that is late must be found late, and a stalled source must be found frozen.

import { setTimeout as sleep } from 'node:timers/promises';
import { enter } from './lib/netns.mjs';
import { Browser, call, servePages, until } from './lib/browsers.mjs';
import { change, figures } from './lib/judge.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('measuring');
const site = await servePages();
const browser = await Browser.start('chromium');

async function direct(options, seconds, during = async () => {}) {
  const source = await browser.open(`${site.base}/source.html`, 'source');
  const viewer = await browser.open(`${site.base}/viewer.html`, 'viewer');
  await Promise.all([source, viewer].map((page) => page.waitForFunction(() => window.probe?.ready)));
  await call(source, 'accept', await call(viewer, 'answer', await call(source, 'offer', { ...options, gather: true })));
  await until('first frame', () => viewer.evaluate(() => window.probe.frames.length > 0));
  await sleep(4_000);
  await call(viewer, 'take');
  const sent = await call(source, 'stats');
  await during(source);
  await sleep(seconds * 1_000);
  const log = await call(viewer, 'take');
  const stats = await call(viewer, 'stats');
  const result = { ...figures(log), sent: change(sent, await call(source, 'stats')).framesSent, mbps: (8 * change(sent, await call(source, 'stats')).bytes / seconds) / 1e6, viewer: stats, source: await call(source, 'stats') };
  await source.close();
  await viewer.close();
  return result;
}

await suite.case('a good stream is found good', async (check, note) => {
  const seen = await direct({}, 8);
  note(seen);
  check(seen.frames >= 0.95 * seen.sent, `${seen.frames} of ${seen.sent} frames read`);
  check(seen.unreadable <= 2 && seen.backwards === 0, 'all frames readable and in order');
  check(seen.longestGapMs < 500, `gap of ${seen.longestGapMs} ms`);
  check(seen.avPairs >= 6 && Math.abs(seen.avOffsetMs) <= 80, `sound is off by ${seen.avOffsetMs} ms in ${seen.avPairs} pairs`);
});

await browser.close();
site.close();
suite.finish();
