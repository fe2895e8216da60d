// The publisher's tab is closed and another publishes the same name in another size: the viewers' connections stay,
// numbers and times go on, sound and picture are together again.

import { setTimeout as sleep } from 'node:timers/promises';
import { enter, overruns } from './lib/netns.mjs';
import { Browser, Publisher, Viewer, closePages, servePages } from './lib/browsers.mjs';
import { Corecast, ENDED_WITHIN_MS } from './lib/corecast.mjs';
import { judgePicture, judgeSync, summary, watch } from './lib/watching.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('publisher_returns');
const site = await servePages();
const chromium = await Browser.start('chromium');
const publishing = await Browser.start('chromium', { first: true });
const SECOND = 1_000_000;

await suite.case('another publisher takes the name, viewers play on', async (check, note) => {
  const node = await Corecast.start('publisher-returns');
  try {
    const stream = 'again';
    const waiting = await Viewer.start(chromium, site.base, node, stream, { name: 'came first' });
    const first = await Publisher.start(publishing, site.base, node, stream, {});
    await waiting.playing();
    const viewers = [waiting, await (await Viewer.start(chromium, site.base, node, stream, { name: 'came second' })).playing()];
    await sleep(4_000);
    for (const seen of await watch(first, viewers, 4)) {
      note({ [`first publisher, ${seen.name}`]: summary(seen) });
      judgePicture(check, seen);
    }
    const overrunBefore = overruns();
    const before = await Promise.all(viewers.map((viewer) => viewer.stats()));

    await first.leave();
    await sleep(2_500);
    const from = Date.now();
    const second = await Publisher.start(publishing, site.base, node, stream, { width: 640, height: 360, maxBitrate: 1_200_000, firstFrame: SECOND });
    await Promise.all(viewers.map((viewer) => viewer.page.waitForFunction(
      (number) => window.probe.frames.some(([frame]) => frame >= number), { timeout: 60_000, polling: 50 }, SECOND)));
    note({ resumedMs: Date.now() - from });
    await sleep(4_000);
    for (const [index, seen] of (await watch(second, viewers, 6)).entries()) {
      note({ [`second publisher, ${seen.name}`]: summary(seen) });
      judgePicture(check, seen);
      judgeSync(check, seen, 6);
      check(seen.widths.length === 1 && seen.widths[0] === 640, `${seen.name}: widths ${seen.widths}`);
      check(seen.stats.connections === 1 && seen.stats.states.every((state) => /connect(ing|ed)/.test(state) && state !== 'disconnected'),
        `${seen.name}: ${seen.stats.connections} connections, states ${seen.stats.states}`);
      check(seen.stats.ssrc === before[index].ssrc, `${seen.name}: SSRC ${before[index].ssrc} became ${seen.stats.ssrc}`);
      check(seen.stats.lost - before[index].lost <= overruns() - overrunBefore, `${seen.name}: ${seen.stats.lost - before[index].lost} packets counted lost over the change`);
    }
    await viewers[0].screenshot('publisher-returns.png');
  } finally {
    const { status, ms } = await node.stop();
    check(status === 0 && ms < ENDED_WITHIN_MS, `the node ended with ${status} after ${ms} ms`);
    await closePages(chromium, publishing);
  }
}, { attempts: 3 });

await suite.case('a second publisher on a name that nobody takes over is refused, the first goes on', async (check) => {
  const node = await Corecast.start('publisher-refused', ['--publish-takeover', 'never']);
  try {
    const first = await Publisher.start(publishing, site.base, node, 'taken', { width: 640, height: 360 });
    const viewer = await (await Viewer.start(chromium, site.base, node, 'taken', { sound: false })).playing();
    let refused = '';
    await Publisher.start(publishing, site.base, node, 'taken', {}).catch((error) => { refused = error.message; });
    check(/: 409 /.test(refused), `a second publisher: ${refused || 'accepted'}`);
    await sleep(1_000);
    for (const seen of await watch(first, [viewer], 8)) judgePicture(check, seen);
  } finally {
    await node.stop();
    await closePages(chromium, publishing);
  }
}, { attempts: 3 });

await Promise.all([chromium.close(), publishing.close()]);
site.close();
suite.finish();
