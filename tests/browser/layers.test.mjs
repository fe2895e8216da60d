// A browser publishes its picture three times (RFC 8853), and viewers choose among them by the watch page's menu: every choice is
// a picture of that size within seconds, without a break in what is decoded, in Chromium and in Firefox, in VP8, VP9 and H.264.
// Sound only and back. Screenshots of the menu and of what it says.

import { setTimeout as sleep } from 'node:timers/promises';
import { enter } from './lib/netns.mjs';
import { Browser, until } from './lib/browsers.mjs';
import { BASE, Corecast } from './lib/corecast.mjs';
import { DASHBOARD, carryAdmin } from './lib/admin.mjs';
import { screenshots } from './lib/screenshots.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('layers');
const chromium = await Browser.start('chromium', { flags: ['--window-size=1600,1000'] });
const firefox = await Browser.start('firefox');

/** Publishes a moving picture and a tone by WHIP, in three sizes, from a page of the node's own. */
async function publish(stream, codec) {
  const page = await chromium.open(`${BASE}/favicon.svg`, `publisher of ${codec}`);
  await page.goto(`${BASE}/`);
  await page.evaluate(async ({ stream, codec }) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
    const context = canvas.getContext('2d');
    let n = 0;
    // Moves, so that no encoder thinks it idle. A timer, because a page behind another draws no animation frames.
    setInterval(() => {
      n += 1;
      context.fillStyle = `hsl(${n % 360} 60% 40%)`;
      context.fillRect(0, 0, 1280, 720);
      context.fillStyle = '#fff';
      context.fillRect((n * 17) % 1280, 100, 200, 200);
      context.font = '160px sans-serif';
      context.fillText(String(n), 100, 600);
    }, 33);
    const [video] = canvas.captureStream(30).getVideoTracks();
    const sound = new AudioContext();
    const tone = sound.createOscillator();
    const out = sound.createMediaStreamDestination();
    tone.connect(out);
    tone.start();
    const pc = (window.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' }));
    pc.addTransceiver(out.stream.getAudioTracks()[0], { direction: 'sendonly' });
    // Without a mode of its own, Chromium makes one stream of spatial layers of VP9.
    const mode = codec === 'VP9' ? { scalabilityMode: 'L1T2' } : {};
    const sender = pc.addTransceiver(video, { direction: 'sendonly', sendEncodings: [
      { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000, ...mode }, { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000, ...mode },
      { rid: 'f', maxBitrate: 1_500_000, ...mode },
    ] });
    const wanted = RTCRtpSender.getCapabilities('video').codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec.toLowerCase()}` || /rtx/i.test(mimeType));
    sender.setCodecPreferences(wanted);
    await pc.setLocalDescription();
    const response = await fetch(`/whip/${stream}`, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: pc.localDescription.sdp });
    if (response.status !== 201) throw new Error(await response.text());
    await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  }, { stream, codec });
  return page;
}

/** What a watch page plays: the size, and how many frames were decoded. */
const played = (page) => page.evaluate(async () => {
  const { layers, stats } = window.corecast;
  const video = document.getElementById('video');
  const said = window.corecast.session.layers;
  return { height: video.videoHeight, frames: stats().frames ?? 0, freezes: stats().freezes, current: said.current?.rid ?? null, listed: said.layers.filter(({ alive }) => alive).map(({ rid }) => rid), why: document.getElementById('why').textContent };
});

const choose = (page, value) => page.select('#quality', value);
const rid = (name) => JSON.stringify({ rid: name });

for (const [codec, browsers] of [['VP8', [chromium, firefox]], ['VP9', [chromium]], ['H264', [chromium]]]) {
  await suite.case(`a person goes through the sizes of ${codec}, in ${browsers.map(({ name }) => name).join(' and ')}`, async (check, note) => {
    const node = await Corecast.start(`layers-${codec}`);
    const pages = [];
    try {
      pages.push(await publish('layers', codec));
      for (const browser of browsers) {
        const page = await browser.open(`${BASE}/watch/layers`, `${browser.name} watches ${codec}`);
        pages.push(page);
        await until('three layers', async () => (await played(page)).listed.length === 3, { within: 60_000 }).catch(async () => { throw new Error(`it has ${JSON.stringify(await played(page))}; ${page.log.join('\n')}`); });
        const seen = [];
        for (const [name, height] of [['q', 180], ['f', 720], ['h', 360], ['f', 720]]) {
          const before = await played(page);
          await choose(page, rid(name));
          await until(`${name} is played`, async () => { const now = await played(page); return now.current === name && now.height === height; }, { within: 20_000 })
            .catch(async () => { throw new Error(`${name} is not played: ${JSON.stringify(await played(page))}`); });
          // It goes on: pictures are decoded after the switch as before.
          const at = (await played(page)).frames;
          await until(`${name} goes on`, async () => (await played(page)).frames >= at + 30, { within: 20_000 })
            .catch(async () => { throw new Error(`${name} stands still: ${JSON.stringify(await played(page))}`); });
          seen.push({ name, before, after: await played(page) });
        }
        note({ [browser.name]: seen.at(-1).after });
        check(/it was chosen/.test(seen.at(-1).after.why), `the page says: ${seen.at(-1).after.why}`);
        if (codec !== 'VP8') continue;
        await choose(page, '"sound"');
        await until('sound only', async () => (await played(page)).current === null, { within: 20_000 });
        // The page's figures are a second old; and what was on its way is decoded.
        await sleep(2_000);
        const { frames } = await played(page);
        await sleep(2_500);
        const later = await played(page);
        check(later.frames <= frames + 3, `${later.frames - frames} pictures were decoded while there is sound only, in ${browser.name}`);
        check(await page.evaluate(() => window.corecast.state) === 'live', 'it is live by its sound');
        await choose(page, '"auto"');
        await until('the picture again', async () => (await played(page)).frames > frames + 30, { within: 20_000 });
      }
    } finally {
      await Promise.all(pages.map((page) => page.close()));
      await node.stop();
    }
  }, { attempts: 2 });
}

await suite.case('a small window is sent a small picture, and the page says so', async (check, note) => {
  const node = await Corecast.start('layers-small');
  const pages = [];
  try {
    pages.push(await publish('small', 'VP8'));
    const page = await chromium.open(`${BASE}/watch/small`, 'watch page');
    pages.push(page);
    await until('three layers', async () => (await played(page)).listed.length === 3, { within: 60_000 });
    await page.setViewport({ width: 390, height: 844 });
    await until('the middle one', async () => (await played(page)).current === 'h', { within: 20_000 }).catch(() => {});
    const small = await played(page);
    note({ small });
    check(small.current === 'h' && /shown no larger/.test(small.why), `a picture of 390 points is sent ${JSON.stringify(small)}`);
  } finally {
    await Promise.all(pages.map((page) => page.close()));
    await node.stop();
  }
}, { attempts: 2 });

await suite.case('pages show layers: what is sent, the menu with its reason, and the operator’s figures', async (check, note) => {
  const node = await Corecast.start('layers-pages');
  const carrier = await carryAdmin();
  const opened = [];
  const open = async (url, name) => { opened.push(await chromium.open(url, name)); return opened.at(-1); };
  try {
    const sends = await open(`${BASE}/publish/pictures`, 'publish page');
    await sends.click('#toggle');
    const [auto, chosen] = [await open(`${BASE}/watch/pictures`, 'watch page'), await open(`${BASE}/watch/pictures`, 'second watch page')];
    for (const page of [auto, chosen]) {
      await until('three layers', async () => (await played(page)).listed.length === 3, { within: 60_000 }).catch(async () => { throw new Error(JSON.stringify(await played(page))); });
    }
    await choose(chosen, rid('l'));
    await until('the small one', async () => (await played(chosen)).current === 'l', { within: 20_000 });
    await choose(auto, rid('h'));
    await until('the large one', async () => (await played(auto)).current === 'h', { within: 20_000 });

    const board = await open(DASHBOARD, 'dashboard');
    const rows = () => board.$$eval('#layers tr', (all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
    const isDrawn = (row, viewers) => /^\d+ × \d+$/.test(row[1]) && Number(row[2]) > 0 && /bit\/s/.test(row[3]) && row[4] === viewers && (viewers === '0' || /^[^0].*bit\/s/.test(row[5]));
    await until('layers on the dashboard', async () => {
      const all = await rows();
      return all.length === 3 && isDrawn(all[0], '1') && isDrawn(all[1], '0') && isDrawn(all[2], '1');
    }).catch(() => {});
    const shown = await rows();
    note({ shown });
    check(shown.length === 3 && isDrawn(shown[0], '1') && isDrawn(shown[1], '0') && isDrawn(shown[2], '1'), `the dashboard says ${JSON.stringify(shown)}`);
    await screenshots(board, 'dashboard-layers', { fullPage: true });
    await screenshots(sends, 'publish-layers', { fullPage: true });
    await choose(auto, '"auto"');
    // The window is large enough for it.
    await auto.setViewport({ width: 1280, height: 800 });
    await until('a reason', async () => (await played(auto)).why.length > 0);
    note({ why: (await played(auto)).why });
    await screenshots(auto, 'watch-layers', { prepare: async () => {
      if (!await auto.$eval('#quality', (menu) => menu.matches(':open'))) await auto.click('#quality');
      await until('the menu is open', () => auto.$eval('#quality', (menu) => menu.matches(':open')), { within: 10_000 });
    } });
  } finally {
    await Promise.all(opened.map((page) => page.close()));
    await carrier.close();
    await node.stop();
  }
}, { attempts: 2 });

await chromium.close();
await firefox.close();
suite.finish();
