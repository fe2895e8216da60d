// The check page: which ways lead from this browser to the node, in networks that let all of them through, or some; where the
// node offers fewer; and what it says where it may not look.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createHash, createPublicKey } from 'node:crypto';
import { artifact } from './lib/artifacts.mjs';
import { NODE_IP, NODE_IP6, NODE_NAME, addIpv6, dropUdp, enter, onlyTls } from './lib/netns.mjs';
import { Browser, Publisher, closePages, servePages, until } from './lib/browsers.mjs';
import { BASE, Corecast, Keys } from './lib/corecast.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
addIpv6();
const suite = new Suite('check');
const site = await servePages();

/** A certificate for the node's name: TURN over TLS is for names only. */
const directory = mkdtempSync(path.join(tmpdir(), 'corecast-check-'));
const [cert, key] = ['cert.pem', 'key.pem'].map((name) => path.join(directory, name));
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${NODE_NAME}`,
  '-addext', `subjectAltName=DNS:${NODE_NAME},IP:${NODE_IP}`, '-keyout', key, '-out', cert], { stdio: 'ignore' });
const spki = createPublicKey(readFileSync(cert)).export({ type: 'spki', format: 'der' });
const believed = `--ignore-certificate-errors-spki-list=${createHash('sha256').update(spki).digest('base64')}`;
const NAMED = ['--tls-cert', cert, '--tls-key', key, '--media-ip', NODE_IP6];
const BY_NAME = `https://${NODE_NAME}:8443`;

const publishing = await Browser.start('chromium', { first: true });
const chromium = await Browser.start('chromium', { flags: [believed, '--window-size=1280,800'] });
const firefox = await Browser.start('firefox');

const UDP = ['UDP over IPv4', 'UDP over IPv6'];
const TURN = ['TURN over TCP', 'TURN over TLS'];

/** Opens the page and waits for its result. */
async function checked(browser, base, stream) {
  const page = await browser.open(`${base}/check/${stream}`, `${browser.kind} checks ${stream}`);
  await until(`${browser.kind} has tried all ways`, () => page.evaluate(() => window.corecast?.running === false), { within: 60_000 });
  const seen = await page.evaluate(() => ({ all: window.corecast.all.map(({ error, ...rest }) => rest), report: window.corecast.report, verdict: document.querySelector('#verdict').textContent }));
  return { page, ...seen, results: Object.fromEntries(seen.all.map(({ name, result }) => [name, result])) };
}

await suite.case('an open network: every way works, alone, and has media', async (check, note) => {
  const node = await Corecast.start('check-open', NAMED);
  try {
    await Publisher.start(publishing, site.base, node, 'open', { codec: 'video/VP8', width: 640, height: 360 });
    for (const browser of [chromium, firefox]) {
      const { page, all, report, verdict } = await checked(browser, BY_NAME, 'open');
      note({ [browser.kind]: report });
      check(JSON.stringify(all.map(({ name }) => name)) === JSON.stringify([...UDP, 'TCP', ...TURN]), `${browser.kind} tried ${all.map(({ name }) => name)}`);
      for (const { name, result, why, packetMs, connectedMs, mediaMs } of all) {
        check(result === 'works', `${browser.kind}, ${name}: ${result} ${why}`);
        check(packetMs > 0 && connectedMs >= packetMs && mediaMs >= connectedMs - 100, `${browser.kind}, ${name}: ${packetMs}, ${connectedMs}, ${mediaMs} ms`);
      }
      // What works alone was no other way.
      const via = Object.fromEntries(all.map(({ name, via }) => [name, via]));
      check(via['UDP over IPv4'] === `${NODE_IP}:20000` || via['UDP over IPv4'] === `${NODE_IP}:20001`, `UDP over IPv4 was at ${via['UDP over IPv4']}`);
      check(via['UDP over IPv6'].startsWith(`[${NODE_IP6}]:2000`), `UDP over IPv6 was at ${via['UDP over IPv6']}`);
      check(/:8443$/.test(via.TCP), `TCP was at ${via.TCP}`);
      check(verdict.includes('UDP over IPv4'), verdict);
      if (browser === chromium) {
        for (const [name, scheme] of [['TURN over TCP', 'turn'], ['TURN over TLS', 'turns']]) check(via[name].includes(`by ${scheme}:${NODE_NAME}:8443`), `${name} was at ${via[name]}`);
        await chromium.handle.defaultBrowserContext().overridePermissions(BY_NAME, ['clipboard-read', 'clipboard-write', 'clipboard-sanitized-write']);
        await page.bringToFront();
        await page.click('#copy');
        await until('it is copied', () => page.$eval('#copied', (place) => place.textContent.startsWith('Copied')), { within: 5_000 });
        check(await page.evaluate(() => navigator.clipboard.readText()) === report, 'the clipboard has something else');
        for (const theme of ['light', 'dark']) {
          await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
          await page.setViewport({ width: 1280, height: 900 });
          await page.screenshot({ path: artifact(`page-check-${theme}.png`) });
          await page.setViewport({ width: 390, height: 844 });
          await page.screenshot({ path: artifact(`page-check-${theme}-phone.png`) });
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          check(wide <= 390, `at 390 pixels it is ${wide} pixels wide`);
        }
      }
      const bad = page.log.filter((line) => /error:|Content Security Policy|Refused to/i.test(line));
      check(!bad.length, `${browser.kind} says: ${bad.join(' | ')}`);
      await page.close();
    }
    // Every session was ended by the page, not by a timeout.
    await until('no session of the page is left', async () => (await node.workers()).flatMap(({ sessions }) => sessions).every(({ direction }) => direction === 'publish'), { within: 5_000 });
  } finally {
    await node.stop();
    await closePages(publishing, chromium, firefox);
  }
}, { attempts: 2 });

await suite.case('UDP is dropped, or all but TLS: what is left works, and the page says so', async (check, note) => {
  const node = await Corecast.start('check-dropped', NAMED);
  let allow = () => {};
  try {
    for (const [cut, expected, said] of [
      // First, because it lets no connection live that was opened before.
      [onlyTls, { [UDP[0]]: 'silent', [UDP[1]]: 'silent', TCP: 'silent', [TURN[0]]: 'silent', [TURN[1]]: 'works' }, /play here by TURN over TLS/],
      [dropUdp, { [UDP[0]]: 'silent', [UDP[1]]: 'silent', TCP: 'works', [TURN[0]]: 'works', [TURN[1]]: 'works' }, /play here by TCP/],
    ]) {
      allow = cut();
      const { page, report, results, verdict } = await checked(chromium, BY_NAME, 'nobody');
      allow();
      allow = () => {};
      note({ [cut.name]: report });
      check(JSON.stringify(results) === JSON.stringify(expected), `${cut.name}: ${JSON.stringify(results)}`);
      check(said.test(verdict) && report.includes(verdict), `${cut.name}: ${verdict}`);
      check(report.includes('no media (nobody publishes)'), report);
      await page.close();
    }
  } finally {
    allow();
    await node.stop();
    await closePages(chromium);
  }
}, { attempts: 2 });

await suite.case('what the node does not offer is told from what does not get through', async (check, note) => {
  const file = path.join(directory, 'udp-only.toml');
  writeFileSync(file, '[media]\nudp_only = true\n');
  const node = await Corecast.start('check-fewer', ['--config', file]);
  try {
    const { page, all, report, results } = await checked(chromium, BASE, 'nobody');
    note({ report });
    check(results[UDP[0]] === 'works', JSON.stringify(results));
    for (const name of [UDP[1], 'TCP', ...TURN]) check(results[name] === 'not offered', `${name}: ${results[name]}`);
    check(all.every(({ result, why }) => result !== 'not offered' || why.length > 10), report);
    await page.close();
  } finally {
    await node.stop();
    await closePages(chromium);
  }
}, { attempts: 2 });

await suite.case('a node that wants tokens gets one from the page, and the report has none', async (check, note) => {
  const keys = new Keys();
  const node = await Corecast.start('check-tokens', ['--config', keys.config]);
  try {
    const token = keys.token('--action', 'play', '--stream', 'locked');
    const { page, results, verdict } = await checked(chromium, BASE, 'locked');
    check(JSON.stringify(results) === JSON.stringify({ [UDP[0]]: 'refused' }), `one refusal is enough: ${JSON.stringify(results)}`);
    check(/refused/.test(verdict) && await page.$eval('#token-form', (form) => !form.hidden), verdict);
    await page.$eval('#token', (input, text) => { input.value = text; }, token);
    await page.click('#token-form button');
    await until('it has tried all ways', () => page.evaluate(() => !window.corecast.running && window.corecast.all.length > 1), { within: 60_000 });
    const report = await page.evaluate(() => window.corecast.report);
    note({ report });
    check(/UDP over IPv4 +works/.test(report) && !report.includes(token) && !page.url().includes(token), report);
    await page.close();
  } finally {
    await node.stop();
    keys.remove();
    await closePages(chromium);
  }
}, { attempts: 2 });

await Promise.all([publishing.close(), chromium.close(), firefox.close()]);
rmSync(directory, { recursive: true, force: true });
site.close();
suite.finish();
