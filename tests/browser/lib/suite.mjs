// A small test runner: named cases one after the other (the machine has few cores and the measurements are of time),
// each with its checks, a table at the end, the results as JSON among the artifacts, exit status 1 on any failure.

import { writeFileSync } from 'node:fs';
import { artifact } from './artifacts.mjs';
import { closeSince, mark } from './leftovers.mjs';

export class Suite {
  #name;
  #results = [];
  #only;

  /** `only`: the cases whose name contains it. */
  constructor(name, only = process.argv[2]) { [this.#name, this.#only] = [name, only]; }

  /**
   * Runs one case. `body(check, note)`: `check(holds, what)` and `note({ figure: value })`. A case that measures time
   * on a machine shared with others may be given more `attempts`: it passes when one of them passes whole, and every
   * failed attempt is printed and kept among the results. What a failed attempt leaves open is closed.
   */
  async case(name, body, { attempts = 1 } = {}) {
    if (this.#only && !name.includes(this.#only)) return;
    const from = Date.now();
    let failed = [];
    let noted = {};
    const earlier = [];
    const check = (holds, what) => { if (!holds) failed.push(what); return holds; };
    for (let attempt = 1; attempt <= attempts; attempt++) {
      if (attempt > 1) {
        for (const what of failed) console.log(`    attempt ${attempt - 1}: ${what}`);
        earlier.push(failed);
        [failed, noted] = [[], {}];
      }
      console.log(`▶ ${name}${attempt > 1 ? ` (attempt ${attempt} of ${attempts})` : ''}`);
      const before = mark();
      try {
        await body(check, (values) => Object.assign(noted, values));
      } catch (error) {
        failed.push(error.stack ?? String(error));
      }
      if (!failed.length) break;
      const left = await closeSince(before);
      if (left.length) console.log(`    left open, closed now: ${left.join(', ')}`);
    }
    const seconds = (Date.now() - from) / 1_000;
    for (const [key, value] of Object.entries(noted)) console.log(`    ${key}: ${typeof value === 'object' ? JSON.stringify(value) : value}`);
    for (const what of failed) console.log(`    ✗ ${what}`);
    console.log(`${failed.length ? 'FAIL' : 'PASS'} ${this.#name}: ${name} (${seconds.toFixed(1)} s)`);
    this.#results.push({ name, passed: !failed.length, seconds, failed, earlier, ...noted });
  }

  finish() {
    writeFileSync(artifact(`${this.#name}.json`), `${JSON.stringify(this.#results, null, 2)}\n`);
    const failures = this.#results.filter(({ passed }) => !passed).length;
    if (!this.#results.length) console.log(`no case of ${this.#name} matches "${this.#only}"`);
    console.log(`${this.#name}: ${this.#results.length - failures} passed, ${failures} failed`);
    // Browsers that did not end must not keep the run from ending.
    process.exit(failures || !this.#results.length ? 1 : 0);
  }
}
