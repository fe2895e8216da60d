// The load tester's report in a browser: a short load test against the node, its `report.html` opened from the disk, the
// plots drawn and nothing asked of any server. A screenshot of it in both themes.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { artifact, repository } from './lib/artifacts.mjs';
import { enter } from './lib/netns.mjs';
import { Browser } from './lib/browsers.mjs';
import { BASE, Corecast } from './lib/corecast.mjs';
import { Suite } from './lib/suite.mjs';

const LOADTEST = path.join(path.dirname(process.env.CORECAST_BIN ?? path.join(repository, 'target/release/corecast')), 'corecast-loadtest');

await enter();
const suite = new Suite('report');

/** Runs the load tester; its exit code and what it printed. */
function loadtest(...flags) {
  return new Promise((resolve, reject) => {
    const child = spawn(LOADTEST, flags, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 180_000 });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { text += chunk; });
    child.on('error', reject);
    child.on('exit', (code) => resolve({ code, text }));
  });
}

await suite.case('the report of a load test shows its plots', async (check, note) => {
  const node = await Corecast.start('report');
  const chromium = await Browser.start('chromium');
  try {
    const directory = artifact('loadtest');
    const { code, text } = await loadtest('run', '--insecure', '--whip', `${BASE}/whip/load`, '--whep', `${BASE}/whep/load`,
      '--viewers', '40', '--ramp', '20/s', '--seconds', '6', '--bitrate', '1M', '--audio', '--report', directory);
    check(code === 0, `the load test ended with ${code}:\n${text}`);
    const report = JSON.parse(readFileSync(path.join(directory, 'report.json'), 'utf8'));
    note({ connected: report.viewers_connected, picture: report.viewers_with_picture, packetsPerSecond: Math.round(report.packets_per_second) });
    check(report.viewers_connected === 40 && report.viewers_with_picture === 40, `${report.viewers_connected} connected, ${report.viewers_with_picture} with a picture`);

    const page = await chromium.open(pathToFileURL(path.join(directory, 'report.html')).href, 'report');
    const asked = [];
    page.on('request', (call) => asked.push(call.url()));
    await page.setViewport({ width: 1000, height: 900 });
    await page.reload({ waitUntil: 'load' });
    const plots = await page.$$eval('svg', (drawings) => drawings.map((drawing) => {
      const { width, height } = drawing.getBoundingClientRect();
      return { width, height, lines: [...drawing.querySelectorAll('path, polyline')].filter((line) => line.getTotalLength() > 50).length };
    }));
    check(plots.length >= 4, `${plots.length} plots`);
    for (const [index, { width, height, lines }] of plots.entries()) {
      check(width > 300 && height > 100, `plot ${index} is ${width} × ${height}`);
      check(lines > 0, `plot ${index} has no line`);
    }
    check(asked.every((url) => url.startsWith('file:')), `it asks for ${asked}`);
    check(page.log.length === 0, `it says ${page.log}`);
    for (const theme of ['light', 'dark']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
      await page.screenshot({ path: artifact(`loadtest-report-${theme}.png`), fullPage: true });
    }
  } finally {
    await chromium.close();
    await node.stop();
  }
}, { attempts: 2 });

suite.finish();
