// Where logs, screenshots and results go.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

export const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const directory = path.resolve(process.env.CORECAST_ARTIFACTS ?? path.join(repository, 'target/artifacts'));
mkdirSync(directory, { recursive: true });

/** A file in the artifact directory; what is not plain in a name becomes `-`. */
export const artifact = (name) => path.join(directory, name.replace(/[^A-Za-z0-9._-]+/g, '-'));
