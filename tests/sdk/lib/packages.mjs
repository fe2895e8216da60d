// The npm packages of these tests live outside the tree (see tests/run), where import does not look.

import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = path.join(process.env.CORECAST_TEST_CACHE ?? path.join(homedir(), '.cache/corecast-tests'), 'sdk');
const require = createRequire(`${cache}/`);

export const sdk = fileURLToPath(new URL('../../../src/web/sdk/', import.meta.url));
export const tsc = path.join(cache, 'node_modules/typescript/bin/tsc');

/** @type {typeof import('ws')} */
export const ws = (() => {
  try { return require('ws'); } catch (error) { throw new Error(`ws is not in ${cache}: run tests/run --setup (${error.message})`); }
})();

/** Node's own client, where it has one, would do as well; the SDK takes whichever is there. */
globalThis.WebSocket = ws.WebSocket;
