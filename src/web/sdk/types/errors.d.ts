/** Everything the SDK throws or reports. */
export declare class CorecastError extends Error {
    code: string;
    /** What the user can do; may be empty. */
    hint: string;
    /** The node's own words, for the author of an app; may be empty. */
    detail: string;
    /** The HTTP status, or 0 if there was none. */
    status: number;
    /** How long the node asks to wait, in milliseconds; 0 if it does not say. */
    retryAfterMs: number;
    /** Asking again the same way will not help. */
    final: boolean;
    /**
     * @param {string} code a machine-readable name, like `name_taken` or `permission_denied`
     * @param {string} message what happened
     * @param {{ hint?: string, detail?: string, status?: number, retryAfterMs?: number, final?: boolean, cause?: unknown }} [more]
     */
    constructor(code: string, message: string, more?: {
        hint?: string;
        detail?: string;
        status?: number;
        retryAfterMs?: number;
        final?: boolean;
        cause?: unknown;
    });
    /** What happened and what to do, as one text. */
    get explanation(): string;
}
/**
 * A refusal by the node. problem+json and a WebSocket's `error` message have the same fields.
 *
 * @param {{ status?: unknown, code?: unknown, title?: unknown, detail?: unknown, retry_after_s?: unknown }} problem
 * @returns {CorecastError}
 */
export declare function fromProblem(problem: {
    status?: unknown;
    code?: unknown;
    title?: unknown;
    detail?: unknown;
    retry_after_s?: unknown;
}): CorecastError;
/**
 * A refusal that came over HTTP, whatever its body is.
 *
 * @param {Response} response
 * @returns {Promise<CorecastError>}
 */
export declare function fromResponse(response: Response): Promise<CorecastError>;
/**
 * A request that got no answer. Browsers do not tell a page why, so that pages cannot probe networks. So the
 * likely reason is derived from what is known here.
 *
 * @param {string} target the URL that was called
 * @param {unknown} cause
 * @returns {CorecastError}
 */
export declare function unreachable(target: string, cause: unknown): CorecastError;
/**
 * Why there is no camera, microphone or screen (Media Capture and Streams §10.3, Screen Capture §5.1).
 *
 * @param {unknown} cause what `getUserMedia` or `getDisplayMedia` threw
 * @param {'camera' | 'microphone' | 'screen'} wanted
 * @returns {CorecastError}
 */
export declare function fromCapture(cause: unknown, wanted: 'camera' | 'microphone' | 'screen'): CorecastError;
