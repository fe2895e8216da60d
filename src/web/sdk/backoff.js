// How long to wait before trying again: twice as long each time, with a random spread.

/**
 * @typedef {object} BackoffOptions
 * @property {number} [firstMs] the first wait; 500
 * @property {number} [mostMs] no wait is longer, unless the node asks for it; 15,000
 * @property {() => number} [random] 0 (included) to 1 (excluded); `Math.random`
 */

export class Backoff {
  #firstMs;
  #mostMs;
  #random;
  #attempt = 0;

  /** @param {BackoffOptions} [options] */
  constructor({ firstMs = 500, mostMs = 15_000, random = Math.random } = {}) {
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
    this.#random = random;
  }

  /** How many waits were returned since the last success. */
  get attempt() { return this.#attempt; }

  /**
   * The next wait: between half and all of `first × 2ⁿ`, so that viewers that lost the same node do not all return at
   * the same instant. The wait that the node asks for (Retry-After) is a lower bound, and is spread upwards by a quarter.
   *
   * @param {number} [atLeastMs]
   * @returns {number} milliseconds
   */
  next(atLeastMs = 0) {
    const ceiling = Math.min(this.#mostMs, this.#firstMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    const spread = this.#random();
    return Math.max(ceiling * (0.5 + spread / 2), atLeastMs * (1 + spread / 4));
  }

  /** To be called after a success. */
  reset() { this.#attempt = 0; }
}

/**
 * Waits, unless `signal` aborts or `hurry` is called.
 *
 * @param {number} ms
 * @param {AbortSignal} signal
 * @param {(wake: () => void) => void} [hurry] gets a function that ends the wait early
 * @returns {Promise<void>}
 */
export function pause(ms, signal, hurry) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const wake = () => { clearTimeout(timer); signal.removeEventListener('abort', wake); resolve(); };
    const timer = setTimeout(wake, ms);
    signal.addEventListener('abort', wake, { once: true });
    hurry?.(wake);
  });
}
