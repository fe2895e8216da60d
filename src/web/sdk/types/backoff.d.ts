export type BackoffOptions = {
    /**
     * the first wait; 500
     */
    firstMs?: number;
    /**
     * no wait is longer, unless the node asks for it; 15,000
     */
    mostMs?: number;
    /**
     * 0 (included) to 1 (excluded); `Math.random`
     */
    random?: () => number;
};
/**
 * @typedef {object} BackoffOptions
 * @property {number} [firstMs] the first wait; 500
 * @property {number} [mostMs] no wait is longer, unless the node asks for it; 15,000
 * @property {() => number} [random] 0 (included) to 1 (excluded); `Math.random`
 */
export declare class Backoff {
    #private;
    /** @param {BackoffOptions} [options] */
    constructor({ firstMs, mostMs, random }?: BackoffOptions);
    /** How many waits were returned since the last success. */
    get attempt(): number;
    /**
     * The next wait: between half and all of `first × 2ⁿ`, so that viewers that lost the same node do not all return at
     * the same instant. The wait that the node asks for (Retry-After) is a lower bound, and is spread upwards by a quarter.
     *
     * @param {number} [atLeastMs]
     * @returns {number} milliseconds
     */
    next(atLeastMs?: number): number;
    /** To be called after a success. */
    reset(): void;
}
/**
 * Waits, unless `signal` aborts or `hurry` is called.
 *
 * @param {number} ms
 * @param {AbortSignal} signal
 * @param {(wake: () => void) => void} [hurry] gets a function that ends the wait early
 * @returns {Promise<void>}
 */
export declare function pause(ms: number, signal: AbortSignal, hurry?: (wake: () => void) => void): Promise<void>;
