// The measuring itself, without a node: the publisher's page is connected directly to a viewer's. A good stream must be
// found good, late sound late, a stalled source frozen, and packets dropped on the wire lost.

import { setTimeout as sleep } from 'node:timers/promises';
import { enter, startLoss } from './lib/netns.mjs';
import { Browser, call, servePages, until } from './lib/browsers.mjs';
import { Suite } from './lib/suite.mjs';
import { judgePicture, judgeSync, reachesBitrate, summary, watch } from './lib/watching.mjs';

await enter();
const suite = new Suite('measuring');
const site = await servePages();
const browser = await Browser.start('chromium');

/**
 * Connects a source to a viewer, lets them settle, watches. `prepare(source, viewer)` may give a `begin`, called as the
 * watching begins, and an `end`, called after it, whose values join what was seen.
 */
async function direct(options, seconds, prepare = async () => ({})) {
  const source = await browser.open(`${site.base}/source.html`, 'source');
  const viewer = await browser.open(`${site.base}/viewer.html`, 'viewer');
  try {
    await Promise.all([source, viewer].map((page) => page.waitForFunction(() => window.probe?.ready)));
    await call(source, 'accept', await call(viewer, 'answer', await call(source, 'offer', { ...options, gather: true })));
    await until('first frame', () => viewer.evaluate(() => window.probe.frames.length > 0));
    const ends = [source, viewer].map((page) => ({ page, stats: () => call(page, 'stats'), take: () => call(page, 'take') }));
    await sleep(2_000);
    const { begin, end } = await prepare(ends[0], ends[1]);
    const [seen] = await watch(ends[0], [ends[1]], seconds, begin);
    return { ...seen, ...end?.() };
  } finally {
    await source.close();
    await viewer.close();
  }
}

/** What `body`'s checks found wrong. */
function complaints(body) {
  const found = [];
  body((holds, what) => { if (!holds) found.push(what); });
  return found.join('; ');
}

await suite.case('an attempt that fails leaves nothing to the next', async (check) => {
  const inner = new Suite('measuring-inner', '');
  const pages = [];
  await inner.case('fails at first', async () => {
    check(pages.every((page) => page.isClosed()), 'the page of the first attempt was closed');
    pages.push(await browser.open('about:blank', `page ${pages.length + 1}`));
    if (pages.length === 1) throw new Error('on purpose');
  }, { attempts: 2 });
  check(pages.length === 2 && !pages[1].isClosed(), `${pages.length} attempts; the page of the last one is its own affair`);
  await pages.at(-1).close();
});

await suite.case('a good stream is found good', async (check, note) => {
  const seen = await direct({}, 8, async (source) => {
    await reachesBitrate(source);
    return {};
  });
  note({ figures: summary(seen), mbps: (8 * seen.published.bytes) / seen.published.at / 1_000 });
  judgePicture(check, seen);
  judgeSync(check, seen, 8);
  check(seen.change.lost <= seen.overrun, `${seen.change.lost} packets lost, ${seen.overrun} of them by this machine's sockets`);
  check((8 * seen.published.bytes) / seen.published.at / 1_000 > 1.5, 'the source reaches 1.5 Mbit/s');
}, { attempts: 3 });

await suite.case('late sound is found late', async (check, note) => {
  const seen = await direct({ audioDelayMs: 200, width: 640, height: 360, firstFrame: 1_000_000 }, 6);
  const found = complaints((inner) => judgeSync(inner, seen, 6));
  note({ figures: summary(seen), found });
  // Sound that is in time measures up to 75 ms late.
  check(seen.avOffsetMs > 120 && seen.avOffsetMs < 340, `sound that is 200 ms late measures ${seen.avOffsetMs} ms`);
  check(/sound is off/.test(found), `the judge says: ${found || 'nothing'}`);
}, { attempts: 3 });

await suite.case('sound that a viewer\'s machine held back once is found together with the picture afterwards', async (check, note) => {
  const seen = await direct({ width: 640, height: 360 }, 6, async (source, viewer) => {
    const audio = await until('one process of sound', () => {
      const found = browser.processes(/--utility-sub-type=audio\.mojom\.AudioService/);
      return found.length === 1 && found;
    });
    for (const pid of audio) process.kill(pid, 'SIGSTOP');
    await sleep(400);
    for (const pid of audio) process.kill(pid, 'SIGCONT');
    return {};
  });
  note({ figures: summary(seen) });
  judgeSync(check, seen, 6, 150); // what was held back is played faster, over some seconds
}, { attempts: 3 });

await suite.case('a stall of the source is found to be a freeze', async (check, note) => {
  const seen = await direct({}, 5, async (source) => ({
    begin: () => setTimeout(() => source.page.evaluate(() => window.probe.stall(900)).catch(() => {}), 1_500),
  }));
  const found = complaints((inner) => judgePicture(inner, seen));
  note({ figures: summary(seen), found });
  check(seen.longestGapMs >= 800 && seen.longestGapMs < 2_500 && /a freeze of/.test(found), `the judge says: ${found || 'nothing'}`);
}, { attempts: 3 });

await suite.case('5 % of packets lost on the wire are found lost, and repaired by retransmission', async (check, note) => {
  let loss;
  const seen = await direct({}, 10, async (source, viewer) => {
    const { localPort } = await viewer.stats();
    return { begin: () => { loss = startLoss(5, { to: localPort }); }, end: () => ({ wire: loss.count() }) };
  }).finally(() => loss?.stop());
  note({ figures: summary(seen), wire: seen.wire });
  check(seen.wire.dropped > 20, `${seen.wire.dropped} of ${seen.wire.seen} dropped`);
  check(seen.change.lost > 0.5 * seen.wire.dropped && seen.change.lost <= seen.wire.dropped + seen.overrun, `the viewer counts ${seen.change.lost} lost, the wire dropped ${seen.wire.dropped}`);
  check(seen.change.retransmitted >= 0.95 * seen.change.lost, `${seen.change.retransmitted} retransmitted`);
  judgePicture(check, seen);
}, { attempts: 3 });

await browser.close();
site.close();
suite.finish();
