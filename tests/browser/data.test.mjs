// Data channels of browsers: four kinds of a publisher's channels reach Chromium and Firefox, a thousand messages, in order
// where that was asked for; with packets lost; late, after a long silence.

import { setTimeout as sleep } from 'node:timers/promises';
import { disableOffloads, enter, startLoss } from './lib/netns.mjs';
import { Browser, servePages, call, until } from './lib/browsers.mjs';
import { appendFileSync } from 'node:fs';
import { BASE, Corecast, Keys } from './lib/corecast.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
disableOffloads();
const suite = new Suite('data');
const site = await servePages();
const browsers = { chromium: await Browser.start('chromium'), firefox: await Browser.start('firefox') };

/** Of each channel: 4 times 250 are a thousand messages. */
const COUNT = 250;
/** In milliseconds: 50 messages a second on each channel; 64 are relayed. */
const PAUSE = 20;
const CHANNELS = {
  'ordered, reliable': { protocol: 'a' },
  'unordered, reliable': { ordered: false },
  'ordered, once': { maxRetransmits: 0 },
  'unordered, once': { ordered: false, maxRetransmits: 0 },
};
const all = Array.from({ length: COUNT }, (_, number) => number);
const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
const isEqual = (a, b) => a.length === b.length && a.every((number, index) => number === b[index]);
const ascends = (numbers) => numbers.every((number, index) => index === 0 || number > numbers[index - 1]);

async function open(browser, name) {
  const page = await browser.open(`${site.base}/data.html`, name);
  await page.waitForFunction(() => window.probe?.ready);
  return page;
}

async function connected(page) {
  await until(`${page.name}: connected`, async () => (await call(page, 'state')).connection === 'connected');
  return page;
}

async function publish(node, stream, channels = CHANNELS) {
  const page = await open(browsers.chromium, `publisher of ${stream}`);
  const { sdp } = await node.whip(stream, await call(page, 'publish', channels));
  await call(page, 'accept', sdp);
  await connected(page);
  await until('channels open', async () => (await call(page, 'state')).channels.every((state) => state === 'open'));
  return page;
}

async function play(node, stream, kind) {
  const page = await open(browsers[kind], `${kind} plays ${stream}`);
  const { sdp } = await node.whep(stream, await call(page, 'play'));
  await call(page, 'accept', sdp);
  return connected(page);
}

async function mirrored(page, labels) {
  await until(`${page.name}: channels`, async () => {
    const seen = await call(page, 'received');
    return labels.every((label) => seen[label]);
  });
}

await suite.case('a thousand messages on four kinds of channels reach Chromium and Firefox', async (check, note) => {
  const node = await Corecast.start('data');
  const viewers = [await play(node, 'd1', 'chromium'), await play(node, 'd1', 'firefox')];
  const publisher = await publish(node, 'd1');
  for (const viewer of viewers) await mirrored(viewer, Object.keys(CHANNELS));
  await call(publisher, 'send', COUNT, PAUSE);
  await sleep(1_000);
  for (const viewer of viewers) {
    const seen = await call(viewer, 'received');
    for (const [label, options] of Object.entries(CHANNELS)) {
      const { terms, numbers } = seen[label];
      const who = `${viewer.name}, ${label}`;
      check(terms.ordered === (options.ordered ?? true) && terms.protocol === (options.protocol ?? ''), `${who}: ${JSON.stringify(terms)}`);
      check((terms.maxRetransmits ?? null) === (options.maxRetransmits ?? null), `${who}: ${JSON.stringify(terms)}`);
      check(isEqual(sorted(numbers), all), `${who}: ${numbers.length} of ${COUNT} came`);
      if (options.ordered ?? true) check(ascends(numbers), `${who}: not in order`);
    }
    note({ [viewer.name]: Object.values(seen).map(({ numbers }) => numbers.length) });
  }
  const workers = await node.workers();
  const channels = workers.flatMap(({ streams }) => streams).filter(({ origin }) => origin).flatMap(({ channels }) => channels);
  check(channels.length === 4 && channels.every(({ stored }) => stored === COUNT), `the node reports ${JSON.stringify(channels)}`);
  await node.stop();
});

await suite.case('one packet in twenty is lost: reliable is complete, the others do not wait', async (check, note) => {
  const node = await Corecast.start('data-loss');
  const viewer = await play(node, 'd2', 'chromium');
  const publisher = await publish(node, 'd2');
  await mirrored(viewer, Object.keys(CHANNELS));
  // Of every datagram to a browser: messages to the viewer, and what acknowledges those of the publisher.
  const loss = startLoss(5, { to: '1-65535' });
  await call(publisher, 'send', COUNT, PAUSE);
  await until('what is reliable has come', async () => {
    const seen = await call(viewer, 'received');
    return ['ordered, reliable', 'unordered, reliable'].every((label) => seen[label].numbers.length >= COUNT);
  });
  const dropped = loss.count();
  loss.stop();
  const seen = await call(viewer, 'received');
  for (const [label, options] of Object.entries(CHANNELS)) {
    const { numbers } = seen[label];
    if (options.ordered ?? true) check(ascends(numbers), `${label}: not in order`);
    if (options.maxRetransmits === undefined) check(isEqual(sorted(numbers), all), `${label}: ${numbers.length} came`);
    else check(numbers.length > 0.7 * COUNT && numbers.length < COUNT, `${label}: ${numbers.length} came`);
  }
  note({ dropped, came: Object.fromEntries(Object.entries(seen).map(([label, { numbers }]) => [label, numbers.length])) });
  await node.stop();
});

await suite.case('who comes late gets what is retained, and a message after a silence', async (check, note) => {
  const node = await Corecast.start('data-late');
  const publisher = await publish(node, 'd3', { chat: {}, poll: { protocol: 'corecast.retain' } });
  for (const label of ['chat', 'poll']) for (const text of ['1', '2']) await call(publisher, 'say', label, text);
  await sleep(500);
  const viewers = [await play(node, 'd3', 'chromium'), await play(node, 'd3', 'firefox')];
  for (const viewer of viewers) {
    await mirrored(viewer, ['chat', 'poll']);
    await until(`${viewer.name}: what is retained`, async () => (await call(viewer, 'received')).poll.numbers.length > 0);
  }
  // Longer than a session without data keeps its DTLS.
  const silence = Number(process.env.CORECAST_DATA_SILENCE_S ?? 25);
  await sleep(silence * 1_000);
  await call(publisher, 'say', 'chat', '3');
  for (const viewer of viewers) {
    await until(`${viewer.name}: after ${silence} s`, async () => (await call(viewer, 'received')).chat.numbers.length > 0);
    const seen = await call(viewer, 'received');
    check(isEqual(seen.poll.numbers, [2]) && isEqual(seen.chat.numbers, [3]), `${viewer.name}: ${JSON.stringify(seen)}`);
  }
  note({ silence });
  await node.stop();
});

await suite.case('the publish page writes a caption and the watch page shows it, also to who comes later', async (check) => {
  const node = await Corecast.start('data-pages');
  const publisher = await browsers.chromium.open(`${BASE}/publish/d4`, 'publish page');
  await publisher.evaluate(() => {
    document.getElementById('caption').value = 'Good evening';
    return window.corecast.start();
  });
  const caption = (page) => page.evaluate(() => { const { hidden, textContent } = document.getElementById('caption'); return hidden ? '' : textContent; });
  const watching = await browsers.chromium.open(`${BASE}/watch/d4`, 'watch page');
  await until('the caption that was there', async () => (await caption(watching)) === 'Good evening');
  await publisher.evaluate(() => {
    document.getElementById('caption').value = 'Good night';
    document.getElementById('caption-form').requestSubmit();
  });
  await until('the next caption', async () => (await caption(watching)) === 'Good night');
  check((await node.workers()).some(({ streams }) => streams.some(({ channels }) => channels.some(({ label }) => label === 'caption'))), 'the node does not report it');
  await publisher.close();
  await watching.close();
  await node.stop();
});

await suite.case('the example of a live poll: votes come from viewers whose token lets them, and are seen by all', async (check, note) => {
  const keys = new Keys();
  appendFileSync(keys.config, `[cors]\norigins = ['${site.base}']\n`);
  const token = (...flags) => keys.token('--stream', 'd5', ...flags);
  const node = await Corecast.start('data-poll', ['--config', keys.config]);
  // VP8, which this Firefox has.
  const page = (kind, name, theirs, hash = '') => {
    const query = new URLSearchParams({ node: BASE, stream: 'd5', token: theirs, codec: 'VP8' });
    return browsers[kind].open(`${site.base}/poll.html?${query}${hash}`, name);
  };
  const host = await page('chromium', 'host', token('--action', 'publish'), '#host');
  await until('the host is live', () => host.evaluate(() => document.getElementById('status').textContent === 'Live'));
  await host.evaluate(() => {
    const form = document.getElementById('ask');
    form.elements.question.value = 'Which?';
    form.elements.answers.value = 'this\nthat';
    form.requestSubmit();
  });
  const voters = [await page('chromium', 'one', token('--action', 'play', '--messages')), await page('firefox', 'two', token('--action', 'play', '--messages'))];
  const silent = await page('chromium', 'silent', token('--action', 'play'));
  const pages = [...voters, silent];
  for (const each of pages) await until(`${each.name}: the question`, () => each.evaluate(() => document.querySelectorAll('#answers button').length === 2));
  const vote = (each, number) => each.evaluate((at) => document.querySelectorAll('#answers button')[at].click(), number);
  await vote(silent, 0);
  await vote(voters[0], 0);
  await vote(voters[1], 1);
  const counts = (each) => each.evaluate(() => [...document.querySelectorAll('#answers meter')].map(({ value }) => value));
  for (const each of [host, ...pages]) await until(`${each.name}: the votes`, async () => isEqual(await counts(each), [1, 1]));
  // Had the third been heard, there were three. One changes its mind.
  await vote(voters[1], 0);
  for (const each of [host, ...pages]) await until(`${each.name}: the votes after a change`, async () => isEqual(await counts(each), [2, 0]));
  check(isEqual(await counts(silent), [2, 0]), 'the one who may not vote sees the same');
  note({ counts: await counts(silent) });
  await node.stop();
  keys.remove();
});

suite.finish();
