// Networks that let out nothing but TLS to the HTTPS port, or TCP, or what an HTTP proxy carries: TURN over TLS and TCP, and media
// over TCP through CONNECT.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createHash, createPublicKey } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_IP, NODE_NAME, dropUdp, enter, inNodeNamespace, onlyPort, onlyTls } from './lib/netns.mjs';
import { Browser, Publisher, closePages, servePages, until } from './lib/browsers.mjs';
import { BASE, Corecast } from './lib/corecast.mjs';
import { opened } from './lib/leftovers.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('only_tls');
const site = await servePages();

/** A certificate for the node's name: Firefox connects to TURN over TLS by names only. */
const directory = mkdtempSync(path.join(tmpdir(), 'corecast-tls-'));
const [cert, key] = ['cert.pem', 'key.pem'].map((name) => path.join(directory, name));
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${NODE_NAME}`,
  '-addext', `subjectAltName=DNS:${NODE_NAME},IP:${NODE_IP}`, '-keyout', key, '-out', cert], { stdio: 'ignore' });
const spki = createPublicKey(readFileSync(cert)).export({ type: 'spki', format: 'der' });
const believed = `--ignore-certificate-errors-spki-list=${createHash('sha256').update(spki).digest('base64')}`;
const tls = ['--tls-cert', cert, '--tls-key', key];
const BY_NAME = `https://${NODE_NAME}:8443`;
const PROXY_PORT = 3128;

const publishing = await Browser.start('chromium', { first: true });

/** Plays by the SDK in a page of the node's; how long it took from the call to the first frame. */
async function play(browser, base, stream, options) {
  const page = await browser.open(`${base}/`, `${browser.name} watches ${stream}`);
  await page.evaluate(async (stream, options) => {
    const { Viewer } = await import('/sdk.js');
    window.video = document.createElement('video');
    window.video.muted = true;
    document.body.prepend(window.video);
    const from = performance.now();
    // Firefox counts no frames of a stream in getVideoPlaybackQuality().
    window.shownFrames = 0;
    const shown = () => {
      window.firstFrameMs ??= performance.now() - from;
      window.shownFrames += 1;
      window.video.requestVideoFrameCallback(shown);
    };
    window.video.requestVideoFrameCallback(shown);
    window.session = new Viewer({ stream, ...options });
    window.session.attach(window.video).catch((error) => { window.failed = String(error); });
  }, stream, options);
  const frames = () => page.evaluate(() => window.shownFrames);
  await until(`${browser.name} has a picture`, async () => await frames() > 0, { within: 30_000 }).catch(async (error) => {
    throw new Error(`${error.message}: ${await page.evaluate(() => window.failed)} ${page.log.join(' | ')}`);
  });
  const firstFrameMs = Math.round(await page.evaluate(() => window.firstFrameMs));
  const before = await frames();
  await sleep(3_000);
  return { firstFrameMs, framesIn3s: await frames() - before };
}

const paths = async (node) => (await node.workers()).flatMap(({ sessions }) => sessions)
  .filter(({ direction }) => direction === 'play').map(({ path }) => path);

await suite.case('everything but TLS on the HTTPS port is dropped: Chromium and Firefox play by relay', async (check, note) => {
  const browsers = [
    await Browser.start('chromium', { flags: [believed] }),
    await Browser.start('firefox'),
  ];
  const node = await Corecast.start('only-tls', tls);
  let allow = () => {};
  try {
    const publisher = await Publisher.start(publishing, site.base, node, 'tls', { codec: 'video/VP8', width: 640, height: 360 });
    allow = onlyTls({ but: (await publisher.stats()).localPort });
    for (const browser of browsers) {
      const { firstFrameMs, framesIn3s } = await play(browser, BY_NAME, 'tls', { iceTransportPolicy: 'relay' });
      note({ [browser.kind]: { firstFrameMs, framesIn3s } });
      check(firstFrameMs <= 1_500, `${browser.kind}: the first frame came after ${firstFrameMs} ms`);
      check(framesIn3s > 30, `${browser.kind}: ${framesIn3s} frames in 3 s`);
    }
    const used = await paths(node);
    check(used.length === 2 && used.every((path) => path === 'turn-tls'), `the paths are ${JSON.stringify(used)}`);
  } finally {
    allow();
    await node.stop();
    await closePages(publishing);
    await Promise.all(browsers.map((browser) => browser.close()));
  }
}, { attempts: 3 });

await suite.case('a page that leaves the ways to the SDK: TURN is not asked for where UDP works, and brings the picture where only TLS does', async (check, note) => {
  let browsers = [];
  /** New ones each time: connections of before would be dead, and be waited for. */
  const start = async () => {
    await Promise.all(browsers.splice(0).map((browser) => browser.close()));
    browsers = [await Browser.start('chromium', { flags: [believed] }), await Browser.start('firefox')];
  };
  const node = await Corecast.start('turn-late', tls);
  let allow = () => {};
  const admitted = async () => Number(/^corecast_turn_clients_admitted_total (\d+)$/m.exec(await node.admin('/metrics'))?.[1]);
  try {
    const publisher = await Publisher.start(publishing, site.base, node, 'late', { codec: 'video/VP8', width: 640, height: 360 });
    await start();
    for (const browser of browsers) {
      const { firstFrameMs } = await play(browser, BY_NAME, 'late', {});
      note({ [`${browser.kind}, UDP`]: firstFrameMs });
    }
    check(await admitted() === 0, `TURN was used ${await admitted()} times beside UDP`);
    check((await paths(node)).every((path) => path === 'udp'), `${await paths(node)}`);
    await start();
    allow = onlyTls({ but: (await publisher.stats()).localPort });
    for (const browser of browsers) {
      const { firstFrameMs, framesIn3s } = await play(browser, BY_NAME, 'late', {});
      note({ [`${browser.kind}, TLS only`]: { firstFrameMs, framesIn3s } });
      // Half a second for the other ways; the rest as with relays alone.
      check(firstFrameMs <= 2_500, `${browser.kind}: the first frame came after ${firstFrameMs} ms`);
      check(framesIn3s > 30, `${browser.kind}: ${framesIn3s} frames in 3 s`);
    }
    note({ admitted: await admitted() });
    check(await admitted() >= 2, `TURN was used ${await admitted()} times`);
  } finally {
    allow();
    await node.stop();
    await closePages(publishing);
    await Promise.all(browsers.map((browser) => browser.close()));
  }
}, { attempts: 3 });

await suite.case('UDP is dropped and the node has no name: Chromium and Firefox play by relay over TCP', async (check, note) => {
  const browsers = [await Browser.start('chromium'), await Browser.start('firefox')];
  const node = await Corecast.start('relay-tcp');
  let allow = () => {};
  try {
    const publisher = await Publisher.start(publishing, site.base, node, 'tcp', { codec: 'video/VP8', width: 640, height: 360 });
    allow = dropUdp({ but: (await publisher.stats()).localPort });
    for (const browser of browsers) {
      const seen = await play(browser, BASE, 'tcp', { iceTransportPolicy: 'relay' });
      note({ [browser.kind]: seen });
      check(seen.framesIn3s > 30, `${browser.kind}: ${seen.framesIn3s} frames in 3 s`);
    }
    const used = await paths(node);
    check(used.length === 2 && used.every((path) => path === 'turn-tcp'), `the paths are ${JSON.stringify(used)}`);
  } finally {
    allow();
    await node.stop();
    await closePages(publishing);
    await Promise.all(browsers.map((browser) => browser.close()));
  }
}, { attempts: 3 });

await suite.case('only an HTTP CONNECT proxy leads out: Chromium and Firefox play over TCP through it', async (check, note) => {
  const [command, ...rest] = inNodeNamespace(process.execPath, fileURLToPath(new URL('lib/connect_proxy.mjs', import.meta.url)), `${NODE_IP}:${PROXY_PORT}`);
  const proxy = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = opened('the proxy', async () => proxy.kill('SIGKILL'));
  let asked = '';
  proxy.stdout.on('data', (text) => { asked += text; });
  await until('the proxy listens', () => asked.includes('listening'));
  const browsers = [
    await Browser.start('chromium', { flags: [`--proxy-server=http://${NODE_IP}:${PROXY_PORT}`, '--proxy-bypass-list=<-loopback>'] }),
    await Browser.start('firefox', { prefs: {
      'network.proxy.type': 1, 'network.proxy.ssl': NODE_IP, 'network.proxy.ssl_port': PROXY_PORT,
      'network.proxy.http': NODE_IP, 'network.proxy.http_port': PROXY_PORT,
    } }),
  ];
  const node = await Corecast.start('only-proxy', tls);
  let allow = () => {};
  try {
    const publisher = await Publisher.start(publishing, site.base, node, 'proxy', { codec: 'video/VP8', width: 640, height: 360 });
    allow = onlyPort(PROXY_PORT, { but: (await publisher.stats()).localPort });
    for (const browser of browsers) {
      const seen = await play(browser, BASE, 'proxy', {});
      note({ [browser.kind]: seen });
      check(seen.framesIn3s > 30, `${browser.kind}: ${seen.framesIn3s} frames in 3 s`);
    }
    const used = await paths(node);
    note({ paths: used });
    check(used.length === 2 && used.every((path) => path !== 'udp'), `the paths are ${JSON.stringify(used)}`);
    check(asked.split('\n').filter((line) => line === `CONNECT ${NODE_IP}:8443`).length >= 4, `the proxy was asked for: ${asked}`);
  } finally {
    allow();
    await node.stop();
    proxy.kill('SIGKILL');
    closed();
    await closePages(publishing);
    await Promise.all(browsers.map((browser) => browser.close()));
  }
}, { attempts: 3 });

await publishing.close();
rmSync(directory, { recursive: true, force: true });
site.close();
suite.finish();
