// Browsers publish one picture in several sizes by the SDK: every layer arrives, is measured, and is played by a viewer while it
// is the one that is sent. Layers are turned off and on by the page, as a browser does by itself when its uplink does not suffice.

import { setTimeout as sleep } from 'node:timers/promises';
import { artifact } from './lib/artifacts.mjs';
import { enter } from './lib/netns.mjs';
import { Browser, until } from './lib/browsers.mjs';
import { BASE, Corecast } from './lib/corecast.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('simulcast');
const chromium = await Browser.start('chromium');
const publishing = { chromium: await Browser.start('chromium', { first: true }), firefox: await Browser.start('firefox') };

const RIDS = ['l', 'm', 'h'];

/** The layers as the node knows them: by rid, of the worker that has the publisher. */
async function layers(node, stream) {
  const streams = (await node.workers()).flatMap((worker) => worker.streams).filter((each) => each.name === stream && each.origin);
  const encodings = streams.flatMap((each) => each.encodings).filter((each) => each.kind === 'video' && each.rid);
  return Object.fromEntries(encodings.map((each) => [each.rid, each]));
}

/** Sends only these layers from now on. */
const only = (page, rids) => page.evaluate(async (wanted) => {
  const sender = window.session.pc.getSenders().find(({ track }) => track?.kind === 'video');
  const parameters = sender.getParameters();
  for (const encoding of parameters.encodings) encoding.active = wanted.includes(encoding.rid);
  await sender.setParameters(parameters);
}, rids);

for (const [kind, codec, transport] of [['chromium', 'H264', 'websocket'], ['chromium', 'VP8', 'http'], ['chromium', 'VP9', 'http'],
  ['chromium', 'AV1', 'http'], ['firefox', 'VP8', 'websocket']]) {
  await suite.case(`${kind} publishes ${codec} in three sizes (${transport})`, async (check, note) => {
    const node = await Corecast.start(`simulcast-${kind}-${codec}`, ['--cores', '0,1']);
    const stream = `sizes-${codec}`;
    const [publisher, viewer] = [await publishing[kind].open(`${BASE}/`, 'publisher'), await chromium.open(`${BASE}/`, 'viewer')];
    try {
      await publisher.evaluate(async (options) => {
        const { Publisher, capture } = await import('/sdk.js');
        window.session = new Publisher(options);
        const media = await capture({ width: 1280, height: 720, frameRate: 15, microphone: false });
        await window.session.start(media);
      }, { stream, codec, transport, maxFramerate: 15, maxBitrate: 1_500_000 });
      await until('every layer arrives and is measured', async () => {
        const found = await layers(node, stream);
        return RIDS.every((rid) => found[rid]?.alive && found[rid].height > 0 && found[rid].bits_per_second > 0);
      }, { within: 60_000 }).catch(async (error) => { throw new Error(`${error.message}: ${JSON.stringify(await layers(node, stream))}`); });
      const found = await layers(node, stream);
      note(Object.fromEntries(RIDS.map((rid) => [rid, `${found[rid].width}×${found[rid].height} ${Math.round(found[rid].bits_per_second / 1_000)} kbit/s ${found[rid].frames_per_second}/s`])));
      check(found.l.height < found.m.height && found.m.height < found.h.height, `heights ${RIDS.map((rid) => found[rid].height)}`);
      check(RIDS.every((rid) => found[rid].codec === codec), 'the codec that was asked for');
      // Figures of a second in which all three were sent, and what the browser says of itself.
      const sent = await until('the browser names its layers', async () => {
        const stats = await publisher.evaluate(() => window.session.stats);
        return stats?.layers.length === 3 && stats.layers.every(({ paused }) => !paused) && stats.layers;
      }, { within: 60_000 });
      check(sent.map(({ rid }) => rid).join() === 'l,m,h', `layers ${JSON.stringify(sent)}`);

      await viewer.evaluate(async (options) => {
        const { Viewer } = await import('/sdk.js');
        window.video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
        document.body.prepend(window.video);
        window.session = new Viewer(options);
        await window.session.attach(window.video);
      }, { stream, transport });
      const plays = async (rid) => {
        await only(publisher, [rid]);
        await until(`${rid} alone is sent`, async () => {
          const now = await layers(node, stream);
          return now[rid]?.alive && RIDS.filter((other) => other !== rid).every((other) => now[other] && !now[other].alive);
        });
        await until(`the viewer plays ${rid}`, async () => {
          const now = await layers(node, stream);
          return await viewer.evaluate(() => window.video.videoHeight) === now[rid]?.height;
        }).catch(async (error) => { throw new Error(`${error.message}: ${await viewer.evaluate(() => window.video.videoHeight)} of ${JSON.stringify(await layers(node, stream))}`); });
        const shown = () => viewer.evaluate(() => window.video.getVideoPlaybackQuality().totalVideoFrames);
        const before = await shown();
        await until(`pictures of ${rid}`, async () => await shown() >= before + 10);
      };
      for (const rid of ['m', 'l', 'h', 'l']) await plays(rid);
      // All of them again: each is played when the viewer's page chooses it.
      await only(publisher, RIDS);
      await until('all are sent again', async () => {
        const now = await layers(node, stream);
        return RIDS.every((rid) => now[rid]?.alive);
      }, { within: 60_000 });
      for (const rid of ['l', 'h', 'm']) {
        await viewer.evaluate((wanted) => window.session.setLayer({ rid: wanted }), rid);
        await until(`the viewer plays ${rid}, which its page chose`, async () => {
          const now = await layers(node, stream);
          return await viewer.evaluate(() => window.video.videoHeight) === now[rid]?.height;
        }).catch(async (error) => { throw new Error(`${error.message}: ${await viewer.evaluate(() => window.video.videoHeight)} of ${JSON.stringify(await layers(node, stream))}`); });
      }
      await viewer.screenshot({ path: artifact(`simulcast-${kind}-${codec}.png`) });
    } finally {
      await Promise.all([publisher, viewer].map((each) => each.close()));
      await node.stop();
    }
  }, { attempts: 2 });
}

await suite.case('Chromium publishes H.264 in three sizes and a twin in VP8: Chromium plays H.264, Firefox without H.264 the twin', async (check, note) => {
  const node = await Corecast.start('simulcast-twin', ['--cores', '0,1']);
  const stream = 'twins';
  const [publisher, ...viewers] = [await publishing.chromium.open(`${BASE}/publish/${stream}`, 'publisher'),
    await chromium.open(`${BASE}/`, 'Chromium'), await publishing.firefox.open(`${BASE}/`, 'Firefox')];
  try {
    await publisher.select('#codec', 'H264');
    await publisher.select('#twin', 'VP8');
    await publisher.select('#bitrate', '1500000');
    await publisher.evaluate(() => window.corecast.start());
    await until('both codecs are sent', async () => {
      const streams = (await node.workers()).flatMap((worker) => worker.streams).filter((each) => each.name === stream && each.origin);
      const alive = streams.flatMap((each) => each.encodings).filter((each) => each.kind === 'video' && each.alive);
      return new Set(alive.map(({ codec }) => codec)).size === 2;
    }, { within: 60_000 });
    const begin = (viewer) => viewer.evaluate(async (options) => {
      const { Viewer } = await import('/sdk.js');
      window.video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
      document.body.prepend(window.video);
      // What Firefox has of H.264 depends on a plug-in; here it has none.
      const offers = navigator.userAgent.includes('Firefox') && 'video/VP8';
      window.session = new Viewer(options);
      window.session.on('peer', ({ detail: { pc } }) => {
        if (!offers) return;
        const video = pc.getTransceivers().find((each) => each.receiver.track.kind === 'video');
        video.setCodecPreferences?.(RTCRtpReceiver.getCapabilities('video').codecs.filter(({ mimeType }) => mimeType === offers));
      });
      await window.session.attach(window.video);
    }, { stream, transport: 'websocket' });
    const plays = (viewer) => viewer.evaluate(async () => {
      const report = [...(await window.session.pc.getStats()).values()];
      const inbound = report.find((each) => each.type === 'inbound-rtp' && each.kind === 'video' && each.framesDecoded > 10);
      return report.find((each) => each.id === inbound?.codecId)?.mimeType;
    });
    await Promise.all(viewers.map(begin));
    const [ofChromium, ofFirefox] = await until('both see pictures', async () => {
      const codecs = await Promise.all(viewers.map(plays));
      return codecs.every(Boolean) && codecs;
    }, { within: 60_000 }).catch(async (error) => { throw new Error(`${error.message}: ${JSON.stringify(await node.workers())}`); });
    note({ ofChromium, ofFirefox });
    check(ofChromium === 'video/H264', `Chromium plays ${ofChromium}`);
    check(ofFirefox === 'video/VP8', `Firefox plays ${ofFirefox}`);
    const rows = await publisher.evaluate(() => [...document.querySelectorAll('#layers dt')].map((term) => term.textContent));
    check(rows.includes('In VP8') && rows.length === 4, `the page names ${rows}`);
    await publisher.screenshot({ path: artifact('publish-page-twin.png'), fullPage: true });
  } finally {
    await Promise.all([publisher, ...viewers].map((each) => each.close()));
    await node.stop();
  }
}, { attempts: 2 });

await suite.case('the publish page says what each size sends, and sends one where that is chosen', async (check) => {
  const node = await Corecast.start('simulcast-page');
  const page = await publishing.chromium.open(`${BASE}/publish/page`, 'publish page');
  try {
    const rows = () => page.evaluate(() => [...document.querySelectorAll('#layers dt')].map((term) => `${term.textContent}: ${term.nextElementSibling.textContent}`));
    await page.evaluate(() => window.corecast.start());
    await until('three sizes are shown with what they send', async () => {
      const shown = await rows();
      return shown.length === 3 && shown.every((row) => /^(Large|Medium|Small): \d+ × \d+ · .+bit\/s · \d+\/s$/.test(row));
    }, { within: 60_000 }).catch(async (error) => { throw new Error(`${error.message}: ${await rows()}`); });
    await page.screenshot({ path: artifact('publish-page-layers.png'), fullPage: true });
    await page.evaluate(() => {
      const sender = window.corecast.pc.getSenders().find(({ track }) => track?.kind === 'video');
      const parameters = sender.getParameters();
      parameters.encodings.forEach((encoding) => { encoding.active = encoding.rid !== 'h'; });
      return sender.setParameters(parameters);
    });
    await until('the large one is paused', async () => (await rows()).includes('Large: paused'), { within: 60_000 });
    await page.screenshot({ path: artifact('publish-page-layer-paused.png'), fullPage: true });
    await page.evaluate(() => window.corecast.stop());
    await page.select('#simulcast', 'off');
    await page.evaluate(() => window.corecast.start());
    await until('one size is sent', async () => (await node.workers()).flatMap((worker) => worker.streams).some(({ encodings }) => encodings.some((each) => each.kind === 'video' && each.alive && each.rid === '')));
    await sleep(1_500);
    check(await page.evaluate(() => document.getElementById('layers-card').hidden), 'nothing to say of layers');
  } finally {
    await page.close();
    await node.stop();
  }
}, { attempts: 2 });

await Promise.all([chromium.close(), publishing.chromium.close(), publishing.firefox.close()]);
suite.finish();
