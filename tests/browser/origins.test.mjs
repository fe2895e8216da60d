// Pages of other origins, as an app's own site: one that the node lists publishes and plays through the node's secure
// WebSocket and over HTTPS, in Chromium and in Firefox; one that it does not list gets nothing, and is told why.
//
//   https://localhost:A  the app's page, and its own copy of the SDK
//   https://localhost:B  the node, whose bytes are carried to its namespace

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createSecureServer } from 'node:https';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { artifact, repository } from './lib/artifacts.mjs';
import { enter, NODE_IP } from './lib/netns.mjs';
import { Browser, until } from './lib/browsers.mjs';
import { Corecast } from './lib/corecast.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
const suite = new Suite('origins');

/** Serves an empty page and the SDK over HTTPS on a port of localhost. */
async function serveApp() {
  const directory = mkdtempSync(path.join(tmpdir(), 'corecast-app-'));
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(directory, name));
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
  const server = createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    const { pathname } = new URL(request.url, 'https://localhost');
    if (pathname === '/') {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end('<!doctype html><title>An app</title><body></body>');
      return;
    }
    const file = path.join(repository, 'src/web', path.normalize(pathname));
    if (!/^\/sdk(\/\w+)?\.js$/.test(pathname) || !existsSync(file)) { response.writeHead(404).end(); return; }
    response.writeHead(200, { 'content-type': 'text/javascript' });
    response.end(readFileSync(file));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    directory, origin: `https://localhost:${server.address().port}`,
    close: () => { server.close(); rmSync(directory, { recursive: true, force: true }); },
  };
}

/** Makes the node `https://localhost:PORT`. */
async function carryToNode() {
  const server = createServer((near) => {
    const far = connect(8443, NODE_IP);
    for (const [from, to] of [[near, far], [far, near]]) from.on('error', () => to.destroy()).pipe(to);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { url: `https://localhost:${server.address().port}`, close: () => server.close() };
}

/** Starts a node that lists these origins. */
function start(name, origins) {
  const file = path.join(app.directory, `${name}.toml`);
  writeFileSync(file, `[cors]\norigins = ${JSON.stringify(origins)}\n`);
  return Corecast.start(`origins-${name}`, ['--config', file]);
}

const app = await serveApp();
const carrier = await carryToNode();
const chromium = await Browser.start('chromium');
const firefox = await Browser.start('firefox');

/** Opens the app's page with its SDK; `whence` names another place to import that from. */
async function open(browser, name, whence = '') {
  const page = await browser.open(`${app.origin}/`, name);
  await page.evaluate(async (from) => { window.sdk = await import(`${from}/sdk.js`); }, whence);
  return page;
}

/** Publishes the browser's fake camera, or says with what error it was not to be. */
const publish = (page, settings) => page.evaluate(async (options) => {
  window.session = new window.sdk.Publisher(options);
  try {
    await window.session.start(await window.sdk.capture({ width: 640, height: 360 }));
    return null;
  } catch ({ code, message, hint, status }) {
    return { code, message, hint, status };
  }
}, settings);

const watch = (page, settings) => page.evaluate(async (options) => {
  const video = Object.assign(document.createElement('video'), { muted: true });
  document.body.append(video);
  window.session = new window.sdk.Viewer(options);
  window.session.addEventListener('connected', ({ detail }) => { window.via = detail.via; });
  await window.session.attach(video);
}, settings);

const stats = (page) => page.evaluate(() => window.session.stats);
const close = (pages) => Promise.all(pages.map((page) => page.close()));

/** What a page gets to see of a plain request, which no SDK explains. */
const fetched = (page, url, options) => page.evaluate(async (target, init) => {
  try {
    const answer = await fetch(target, init);
    return { status: answer.status, location: answer.headers.get('location'), allowed: answer.headers.get('accept-post') };
  } catch (error) {
    return { failed: error.name };
  }
}, url, options);

/** Opens a WebSocket as a page may without asking anybody first, and says what came of it. */
const socket = (page, url) => page.evaluate((target) => new Promise((done) => {
  const opened = new WebSocket(target, 'corecast.v1');
  opened.onopen = () => { opened.close(); done('open'); };
  opened.onerror = () => done('refused');
}), url.replace(/^https/, 'wss') + '/ws');

for (const transport of ['websocket', 'http']) await suite.case(`a page of a listed origin publishes and plays in both browsers (${transport})`, async (check, note) => {
  const node = await start(transport, [app.origin]);
  const pages = [];
  try {
    for (const [from, to] of [[firefox, chromium], [chromium, firefox]]) {
      // Debian's Firefox has no H.264 in WebRTC.
      const settings = { url: carrier.url, stream: `from-${from.kind}`, transport };
      const [publisher, viewer] = [await open(from, `publisher in ${from.kind}`, carrier.url), await open(to, `viewer in ${to.kind}`)];
      pages.push(publisher, viewer);
      check(await publish(publisher, { ...settings, codec: 'VP8' }) === null, `${publisher.name} did not start`);
      await watch(viewer, settings);
      await until(`${viewer.name} is live`, () => viewer.evaluate(() => window.session.live))
        .catch(async (error) => { throw new Error(`${error.message}: ${JSON.stringify(await stats(viewer))}\n${viewer.log.join('\n')}\n${node.tail()}`); });
      let seen;
      await until('a second of pictures', async () => { seen = await stats(viewer); return seen?.framesPerSecond > 10 && seen.width > 0 && seen.codec; }).catch(() => {});
      note({ [`${from.kind} to ${to.kind}`]: `${seen?.framesPerSecond} frames/s of ${seen?.width}, ${seen?.codec}, lost ${seen?.packetsLost}` });
      check(seen?.framesPerSecond > 10 && seen.width > 0 && seen.codec === 'VP8', `${viewer.name}: ${JSON.stringify(seen)}`);
      check(await viewer.evaluate(() => window.via) === transport, `${viewer.name} signals another way`);
      await viewer.screenshot({ path: artifact(`origins-${transport}-${to.kind}.png`) });
    }
    await Promise.all(pages.map((page) => page.evaluate(() => window.session.close())));
    await until('the node has no session', async () => (await node.workers()).every(({ sessions }) => sessions.length === 0));
  } finally {
    await close(pages);
    await node.stop();
  }
}, { attempts: 2 });

await suite.case('a page of an origin that is not listed gets nothing by any way, and its user is told why', async (check, note) => {
  const node = await start('refused', ['https://www.example.org']);
  const pages = [];
  try {
    for (const browser of [chromium, firefox]) {
      const page = await open(browser, browser.kind);
      pages.push(page);
      // Under a name that no case before has put into the browser's cache.
      const imported = await page.evaluate((from) => import(`${from}/sdk.js?foreign`).then(() => 'imported', () => 'refused'), carrier.url);
      check(imported === 'refused', `${browser.kind}: the node's SDK was ${imported}`);
      check(await socket(page, carrier.url) === 'refused', `${browser.kind}: the socket opened`);
      // A request that needs no leave to be sent (Fetch standard, CORS-safelisted): the node has to refuse it itself.
      const plain = await fetched(page, `${carrier.url}/whep/demo`, { method: 'POST', body: 'v=0', headers: { 'content-type': 'text/plain' } });
      check(plain.failed, `${browser.kind}: a plain request was answered: ${JSON.stringify(plain)}`);
      for (const transport of ['websocket', 'http', 'auto']) {
        const refused = await publish(page, { url: carrier.url, stream: 'demo', transport, codec: 'VP8', reconnect: false });
        note({ [`${browser.kind}, ${transport}`]: refused?.message });
        check(/cors\.origins/.test(refused?.hint ?? ''), `${browser.kind}, ${transport}: ${JSON.stringify(refused)}`);
      }
    }
    const report = JSON.parse(await node.admin('/api/v1/node'));
    check(report.workers.every(({ sessions }) => sessions.length === 0), 'a session was opened');
    const metrics = await node.admin('/metrics');
    const counted = Number(/^corecast_sessions_refused_total\{reason="origin_not_allowed"\} (\d+)$/m.exec(metrics)?.[1]);
    note({ counted });
    check(counted >= 2 * 5, `the node counted ${counted} refusals of 5 attempts or more of each browser`);
  } finally {
    await close(pages);
    await node.stop();
  }
}, { attempts: 2 });

await Promise.all([chromium.close(), firefox.close()]);
carrier.close();
app.close();
suite.finish();
