// The JSDoc types hold, and the committed declarations are those tsc makes of them now.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { sdk, tsc } from './lib/packages.mjs';

function compile(...args) {
  try {
    return execFileSync(process.execPath, [tsc, ...args], { encoding: 'utf8' });
  } catch (error) {
    assert.fail(`${error.stdout}${error.stderr}`);
  }
}

const contents = (directory) => Object.fromEntries(readdirSync(directory).sort().map((file) => [file, readFileSync(path.join(directory, file), 'utf8')]));

test('the SDK is typed strictly, and its declarations are up to date', (t) => {
  const out = mkdtempSync(path.join(tmpdir(), 'corecast-sdk-types-'));
  t.after(() => rmSync(out, { recursive: true }));
  compile('-p', sdk, '--outDir', out);
  assert.deepEqual(contents(path.join(sdk, 'types')), contents(out), 'run tsc -p src/web/sdk and commit src/web/sdk/types');
});

test('an app in TypeScript gets types from the package, and an error where it is wrong', (t) => {
  const app = mkdtempSync(path.join(tmpdir(), 'corecast-sdk-app-'));
  t.after(() => rmSync(app, { recursive: true }));
  writeFileSync(path.join(app, 'package.json'), '{ "type": "module" }');
  writeFileSync(path.join(app, 'app.ts'), `
    import { CorecastError, Publisher, Viewer, capture, type Stats } from 'corecast-sdk';
    const viewer = new Viewer({ url: 'https://node.example', stream: 'demo', token: async () => 'x' });
    viewer.on('playblocked', ({ detail }) => { const playing: boolean = detail.playing; void playing; });
    viewer.on('stats', ({ detail }) => { const stats: Stats = detail; void stats; });
    await viewer.attach(document.querySelector('video')!);
    const publisher = new Publisher({ stream: 'demo', codec: 'VP9', maxBitrate: 1e6 });
    publisher.on('error', ({ detail }) => { const error: CorecastError = detail.error; void error.hint; });
    await publisher.start(await capture({ width: 640, height: 360 }));
    publisher.mute('audio');
    // @ts-expect-error no such kind
    publisher.mute('smell');
    // @ts-expect-error a stream is needed
    new Viewer({});
    // @ts-expect-error no such event
    viewer.on('nothing', () => {});
  `);
  const modules = JSON.stringify({ compilerOptions: {
    strict: true, noEmit: true, target: 'ES2022', module: 'ES2022', moduleResolution: 'bundler', lib: ['ES2022', 'DOM'], types: [], paths: { 'corecast-sdk': [path.join(sdk, 'types/index.d.ts')] },
  }, files: ['app.ts'] });
  writeFileSync(path.join(app, 'tsconfig.json'), modules);
  compile('-p', app);
});

test('the package names what there is', () => {
  const { exports, types, files, dependencies } = JSON.parse(readFileSync(path.join(sdk, 'package.json'), 'utf8'));
  for (const file of [exports['.'].default, exports['.'].types, types]) assert.ok(readFileSync(path.join(sdk, file)).length > 0);
  assert.deepEqual([files, dependencies], [['*.js', 'types'], undefined]);
});
