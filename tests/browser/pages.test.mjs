// The node's own pages with a fake camera: wait for the publisher, publish, watch, turn sound on, stop, start again,
// and a restart of the node under both; themes; the operator's dashboard. Screenshots in both themes and at a phone's width.

import { artifact } from './lib/artifacts.mjs';
import { enter } from './lib/netns.mjs';
import { Browser, until } from './lib/browsers.mjs';
import { DASHBOARD, carryAdmin } from './lib/admin.mjs';
import { screenshots } from './lib/screenshots.mjs';
import { BASE, Corecast, Keys, request } from './lib/corecast.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('pages');
const chromium = await Browser.start('chromium', { flags: ['--window-size=1280,800'] });

const state = (page) => page.evaluate(() => window.corecast.state);
const stats = (page) => page.evaluate(() => window.corecast.stats());
const reaches = (page, wanted, within = 30_000) =>
  until(`${page.name} is ${wanted}`, async () => (await state(page)) === wanted, { within }).catch(async (error) => {
    throw new Error(`${error.message}; it is ${await state(page)}: ${await page.$eval('#problem', (p) => p.textContent)}\n${page.log.join('\n')}`);
  });

await suite.case('every page is served with a strict policy', async (check) => {
  const node = await Corecast.start('pages-served');
  try {
    for (const [path, type] of [['/', 'text/html'], ['/publish.html', 'text/html'], ['/watch.html?stream=a', 'text/html'],
      ['/publish/a', 'text/html'], ['/watch/a', 'text/html'],
      ['/style.css', 'text/css'], ['/theme.js', 'text/javascript'], ['/page.js', 'text/javascript'], ['/publish.js', 'text/javascript'],
      ['/watch.js', 'text/javascript'], ['/sdk.js', 'text/javascript'], ['/sdk/index.js', 'text/javascript'], ['/favicon.svg', 'image/svg+xml']]) {
      const { status, headers } = await request('GET', path);
      check(status === 200 && headers['content-type']?.startsWith(type), `${path}: ${status} ${headers['content-type']}`);
      if (type === 'text/html') {
        const policy = headers['content-security-policy'] ?? '';
        check(policy.includes("default-src 'self'") && !policy.includes('unsafe'), `${path}: policy "${policy}"`);
      }
    }
    for (const path of ['/nothing', '/watch', '/watch/', '/watch/a%20b']) {
      const { status } = await request('GET', path);
      check(status === 404, `${path} is ${status}, not 404`);
    }
  } finally {
    await node.stop();
  }
}, { attempts: 2 });

await suite.case('publish and watch', async (check, note) => {
  let node = await Corecast.start('pages');
  let publish;
  let watch;
  try {
    const front = await chromium.open(`${BASE}/`, 'front');
    await screenshots(front, 'front');
    await front.$eval('#stream', (input) => { input.value = 'pages'; });
    await Promise.all([front.waitForNavigation(), front.click('[formaction="/watch.html"]')]);
    watch = front;
    watch.name = 'watch page';
    // The form says ?stream=, and the page turns that into the address that people share.
    const address = () => watch.evaluate(() => location.href);
    await until('the shareable address', async () => (await address()) === `${BASE}/watch/pages`, { within: 5_000 }).catch(() => {});
    check((await address()) === `${BASE}/watch/pages`, `the form leads to ${await address()}`);
    await reaches(watch, 'waiting');
    await screenshots(watch, 'watch-waiting');

    publish = await chromium.open(`${BASE}/publish/pages`, 'publish page');
    const other = await publish.$eval('#other', (link) => link.href);
    check(other === `${BASE}/watch/pages`, `the publish page leads to ${other}`);
    await publish.click('#toggle');
    await reaches(publish, 'live');
    await reaches(watch, 'live');
    const figures = (page) => page.$$eval('#figures dd', (cells) => cells.map((cell) => cell.textContent));
    const isFilled = async (page) => (await figures(page)).filter((text) => text === '–').length <= 3;
    let [sent, seen] = [];
    await until('figures of a quiet second', async () => {
      [sent, seen] = [await stats(publish), await stats(watch)];
      return sent?.bitsPerSecond > 100_000 && seen.bitsPerSecond > 100_000 && seen.framesPerSecond > 10 && seen.width > 0 && await isFilled(publish) && await isFilled(watch);
    }).catch(() => {});
    note({ sent, seen });
    check(/H264/.test(sent.codec) && /H264/.test(seen.codec), `codecs ${sent.codec}, ${seen.codec}`);
    check(sent.bitsPerSecond > 100_000 && seen.bitsPerSecond > 100_000, `${sent.bitsPerSecond} bit/s sent, ${seen.bitsPerSecond} seen`);
    check(seen.framesPerSecond > 10 && seen.width > 0, `${seen.framesPerSecond} frames/s of ${seen.width} pixels`);
    check(seen.firstFrameMs > 0, `first frame after ${seen.firstFrameMs}`);
    for (const page of [publish, watch]) {
      check(await isFilled(page), `${page.name} shows ${await figures(page)}`);
    }
    await screenshots(publish, 'publish-live');
    await watch.click('#details');
    await watch.waitForSelector('#numbers dd');
    await screenshots(watch, 'watch-live');
    await watch.click('#details');

    await watch.click('#sound');
    check(await watch.$eval('#video', (video) => !video.muted && !video.paused), 'sound is on and the video plays');

    await watch.evaluate(() => { window.kept = window.corecast.pc; });
    await publish.click('#toggle');
    await reaches(publish, 'idle');
    await reaches(watch, 'waiting');
    await publish.select('#resolution', '640x360');
    await publish.click('#toggle');
    await reaches(publish, 'live');
    await reaches(watch, 'live');
    check(await watch.evaluate(() => window.kept === window.corecast.pc), 'the viewer kept its connection');

    const ended = await node.stop();
    check(ended.status === 0, `the node ended with ${ended.status}`);
    await reaches(watch, 'retrying');
    node = await Corecast.start('pages-again');
    await reaches(publish, 'live', 60_000);
    await reaches(watch, 'live', 60_000);

    // The goodbye of a closed tab frees the name at once.
    await publish.close({ runBeforeUnload: false });
    // By the goodbye, which may still be on its way: a publisher that is only silent is missed after eight seconds or more.
    await until('the name is free', async () => (await node.workers()).every(({ sessions }) => sessions.every(({ direction }) => direction !== 'publish')), { within: 7_000 });
    publish = await chromium.open(`${BASE}/publish.html?stream=pages`, 'second publish page');
    await publish.click('#toggle');
    await reaches(publish, 'live');
    await reaches(watch, 'live');
    for (const page of [publish, watch]) {
      const bad = page.log.filter((line) => /error:|Content Security Policy|Refused to/i.test(line));
      check(!bad.length, `${page.name} says: ${bad.join(' | ')}`);
    }
  } finally {
    await publish?.close();
    await watch?.close();
    await node.stop();
  }
}, { attempts: 2 });

await suite.case('a name that is taken is said on the page, with what to do', async (check, note) => {
  const node = await Corecast.start('pages-taken', ['--publish-takeover', 'never']);
  const pages = [];
  try {
    for (const name of ['first', 'second']) {
      pages.push(await chromium.open(`${BASE}/publish.html?stream=taken`, name));
      await pages.at(-1).click('#toggle');
      await reaches(pages.at(-1), name === 'first' ? 'live' : 'failed');
    }
    const said = await pages[1].$eval('#problem', (place) => ({ hidden: place.hidden, text: place.textContent }));
    note({ said: said.text });
    check(!said.hidden && /publisher/.test(said.text) && /another stream name/.test(said.text), JSON.stringify(said));
    check(await pages[1].$eval('#video', (video) => video.srcObject === null), 'the camera was given back');
  } finally {
    await Promise.all(pages.map((page) => page.close()));
    await node.stop();
  }
}, { attempts: 2 });

await suite.case('the theme is the system’s until a button says otherwise, and is remembered', async (check) => {
  const node = await Corecast.start('pages-theme');
  try {
    const page = await chromium.open(`${BASE}/`, 'front');
    // What an attempt before this one chose is remembered.
    await page.evaluate(() => localStorage.clear());
    await page.reload();
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const system = async (theme) => { await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]); return ground(); };
    const [dark, light] = [await system('dark'), await system('light')];
    check(dark !== light, `dark and light are both ${dark}`);
    await page.click('.theme');
    check(await system('dark') === light, 'light was chosen and the system is dark');
    await page.click('.theme');
    await page.reload();
    check(await system('light') === dark, 'dark was chosen, the page was loaded again, and the system is light');
    check(/dark/.test(await page.$eval('.theme', (button) => button.ariaLabel)), 'the button says so');
    await page.close();
  } finally {
    await node.stop();
  }
}, { attempts: 2 });

await suite.case('the dashboard draws what the node does', async (check, note) => {
  const node = await Corecast.start('pages-dashboard');
  const carrier = await carryAdmin();
  const opened = [];
  const open = async (url, name) => { opened.push(await chromium.open(url, name)); return opened.at(-1); };
  try {
    const publish = await open(`${BASE}/publish/seen`, 'publish page');
    await publish.click('#toggle');
    await reaches(publish, 'live');
    const watch = await open(`${BASE}/watch/seen`, 'watch page');
    await reaches(watch, 'live');
    const board = await open(DASHBOARD, 'dashboard');
    const shown = () => board.evaluate(() => Object.fromEntries([...document.querySelectorAll('.tile b')].map((cell) => [cell.id, cell.textContent])));
    let figures;
    await until('figures', async () => { figures = await shown(); return /bit\/s/.test(figures.bitrate) && figures.viewers === '1' && figures.streams === '1'; }).catch(() => {});
    note({ figures });
    check(/bit\/s/.test(figures?.bitrate), `the bitrate is ${figures?.bitrate}`);
    check(figures.viewers === '1' && figures.streams === '1', `${figures.viewers} viewers, ${figures.streams} streams`);
    const row = await board.$$eval('#table td', (cells) => cells.map((cell) => cell.textContent));
    check(row[0] === 'seen' && row[1] === '1' && /H\.264/.test(row[2]), `the table says ${row}`);
    check((await board.$$('.worker')).length > 0, 'there is a card for each core');
    // One viewer is too quiet for it to be shown; what it is made from is there.
    let [sealing, workers] = [];
    await until('what it is made from', async () => {
      ({ node: { sealing }, workers } = JSON.parse(await node.admin('/api/v1/node')));
      return sealing.octet_ns > 0 && workers.some((worker) => worker.system_time_ns > 0);
    }).catch(() => {});
    check(sealing.octet_ns > 0 && workers.some((worker) => worker.system_time_ns > 0), `sealing ${JSON.stringify(sealing)}`);
    await until('a line is drawn', () => board.$eval('#spark-bitrate .line', (line) => line.getAttribute('d')?.length > 10));
    await screenshots(board, 'dashboard');
  } finally {
    await Promise.all(opened.map((page) => page.close()));
    await carrier.close();
    await node.stop();
  }
}, { attempts: 2 });

await suite.case('a node that wants tokens gets them from its pages, and says what is wrong with another', async (check, note) => {
  const keys = new Keys();
  const node = await Corecast.start('pages-tokens', ['--config', keys.config]);
  const carrier = await carryAdmin();
  const opened = [];
  const open = async (url, name) => { opened.push(await chromium.open(url, name)); return opened.at(-1); };
  const asks = (page) => page.$eval('#token-form', (form) => !form.hidden);
  const says = (page) => page.$eval('#problem', (place) => (place.hidden ? '' : place.textContent));
  const give = async (page, token) => {
    await page.$eval('#token', (input, text) => { input.value = text; }, token);
    await page.click('#token-form button');
  };
  try {
    const [sends, plays] = ['publish', 'play'].map((action) => keys.token('--action', action, '--stream', 'locked'));
    const watch = await open(`${BASE}/watch.html?stream=locked`, 'watch page');
    await reaches(watch, 'failed');
    check(await asks(watch) && /token is needed/.test(await says(watch)), `no token: ${await says(watch)}`);
    await screenshots(watch, 'watch-locked');
    await give(watch, sends);
    await until('the wrong action is told', async () => /does not allow this/.test(await says(watch)));
    check(await asks(watch), 'another may be tried');
    await give(watch, plays);
    await reaches(watch, 'waiting');
    check(!await asks(watch) && await says(watch) === '', `a good one: ${await says(watch)}`);

    const publish = await open(`${BASE}/publish.html?stream=locked`, 'publish page');
    await publish.click('#toggle');
    await reaches(publish, 'failed');
    await give(publish, sends);
    await reaches(publish, 'live');
    await reaches(watch, 'live');

    const board = await open(DASHBOARD, 'dashboard');
    await until('it is locked', () => asks(board));
    await give(board, plays);
    await until('a token that is no admin’s is refused', async () => /does not take this token/.test(await says(board)));
    check(await asks(board), 'another may be tried');
    await give(board, keys.token('--action', 'admin'));
    await until('figures', () => board.$eval('#viewers', (cell) => cell.textContent === '1'));
    check(!await asks(board) && await says(board) === '', await says(board));
    const urls = opened.map((page) => page.url()).filter((url) => url.includes('ey'));
    check(urls.length === 0, `a token is in ${urls}`);
    const log = node.tail(10_000);
    note({ refusals: log.match(/token_\w+/g) });
    check(!log.includes(sends) && !log.includes(plays), 'no token is in the log');
  } finally {
    await Promise.all(opened.map((page) => page.close()));
    await carrier.close();
    await node.stop();
    keys.remove();
  }
}, { attempts: 2 });

await suite.case('Firefox watches VP8 on the page', async (check, note) => {
  const node = await Corecast.start('pages-firefox');
  const firefox = await Browser.start('firefox');
  try {
    const publish = await chromium.open(`${BASE}/publish.html?stream=fox`, 'publish page');
    await publish.select('#codec', 'VP8');
    await publish.click('#toggle');
    await reaches(publish, 'live');
    const watch = await firefox.open(`${BASE}/watch/fox`, 'watch page in Firefox');
    await reaches(watch, 'live');
    let seen;
    await until('a second of pictures', async () => { seen = await stats(watch); return seen.framesPerSecond > 10 && seen.width > 0; }).catch(() => {});
    note({ seen });
    check(seen.framesPerSecond > 10 && seen.width > 0, `${seen.framesPerSecond} frames/s of ${seen.width} pixels`);
    await watch.screenshot({ path: artifact('page-watch-firefox.png') });
    await publish.close();
  } finally {
    await firefox.close();
    await node.stop();
  }
}, { attempts: 2 });

await chromium.close();
suite.finish();
