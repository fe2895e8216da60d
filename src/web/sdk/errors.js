// Errors in words for the user: what happened (`message`), what to do (`hint`),
// a machine-readable name (`code`), and whether trying again is of no use (`final`).

/**
 * What to do, by code. Codes with a status are the node's own (`code` of its problem+json, RFC 9457), which also says
 * what happened; the others are made here.
 *
 * @type {Record<string, string>}
 */
const HINTS = {
  // The node's.
  name_taken: 'Choose another stream name, or end the publisher that has this one. After a crash the node frees a name within seconds.',
  bad_stream_name: 'Use 1 to 128 letters, digits and - _ . ~',
  origin_not_allowed: 'The operator of the node can list this page’s origin in cors.origins.',
  not_by_that_name: 'Open the page by the node’s address or the machine’s name, or let the operator list this page’s origin in cors.origins.',
  unauthorized: 'Sign in again, or ask for a new token.',
  forbidden: 'Ask for a token that allows this stream and this action.',
  no_such_session: 'The node has forgotten this session; a new one is made.',
  node_full: 'Try again later, or on another node.',
  too_many_viewers: 'The stream has as many viewers as it may. Try again later.',
  too_many_waiting: 'Nobody publishes this stream and many wait for it. Try again when it is live.',
  too_many_streams: 'The node carries as many streams as it may. Try again later.',
  too_many_from_address: 'Close other tabs that play or publish, then try again.',
  token_in_use: 'Close other tabs that play with this token, or ask for another one.',
  too_many_failures: 'Ask for a new token, and wait a minute before trying again.',
  too_many_joins_of_one: 'It is tried again by itself.',
  authorisation_unavailable: 'The node cannot tell at the moment who may do this. It is tried again by itself.',
  shutting_down: 'The node is being restarted. It is tried again by itself.',
  no_common_codec: 'Choose another codec.',
  resumed_elsewhere: 'Another page took this session over.',
  replaced: 'Publish under another name, or end the other publisher first.',
  // Of the network.
  offline: 'Check the connection to the network. It is tried again by itself.',
  unreachable: 'Check the address, and that the node is running.',
  unreachable_or_foreign: 'Check the address and that the node is running. If it is, its operator must list this page’s origin in cors.origins, and the browser must trust the node’s certificate: open the node’s address in a tab to see.',
  mixed_content: 'A page served over https may call https addresses only: use https:// for the node.',
  no_media_path: 'Signalling works and media does not arrive: is the node’s UDP port open in every firewall between here and there?',
  connection_lost: 'It is tried again by itself.',
  signalling_lost: 'It is tried again by itself.',
  session_ended: 'It is tried again by itself.',
  // Of the camera, the microphone and the page.
  insecure_context: 'Browsers give a camera to https pages and to localhost only: open this page over https.',
  permission_denied: 'Allow camera and microphone in the browser’s address bar (and in the system’s privacy settings), then start again.',
  cancelled: 'Start again and choose what to share.',
  no_camera: 'Connect a camera, or share the screen.',
  no_microphone: 'Connect a microphone, or publish without sound.',
  device_busy: 'Another program uses the device: close it, then start again.',
  device_unsuitable: 'The device has no such resolution or frame rate: choose a smaller one.',
  unsupported: 'Use a current version of Chrome, Edge, Firefox or Safari.',
  bad_url: 'Give the node’s address like https://node.example',
};

/**
 * What happened, for codes whose text from the node is meant for the author of an app, not for its user.
 *
 * @type {Record<string, string>}
 */
const HAPPENED = {
  name_taken: 'This stream has a publisher already',
  replaced: 'Another publisher took the stream’s name over',
  bad_stream_name: 'No stream can have this name',
  not_by_that_name: 'The node does not go by the name in the address bar',
  node_full: 'The node is full',
  too_many_viewers: 'The stream is full',
  too_many_waiting: 'Nobody publishes this stream, and it is waited for enough',
  too_many_streams: 'The node is full',
  too_many_from_address: 'There are too many sessions from this network',
  token_missing: 'A token is needed',
  token_expired: 'The token has expired',
  token_wrong_stream: 'The token is for another stream',
  token_wrong_action: 'The token does not allow this',
  token_wrong_origin: 'The token is for other pages',
  token_in_use: 'The token is used as often at once as it may be',
  too_many_failures: 'There were too many refusals in a row',
  too_many_joins_of_one: 'Too many come from this network, or with this token, at the same time',
  authorisation_unavailable: 'Nobody can be let in at the moment',
};

/** Statuses that will be the same if the request is repeated. */
const FINAL_STATUSES = new Set([400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 421, 422]);

/** Everything the SDK throws or reports. */
export class CorecastError extends Error {
  /**
   * @param {string} code a machine-readable name, like `name_taken` or `permission_denied`
   * @param {string} message what happened
   * @param {{ hint?: string, detail?: string, status?: number, retryAfterMs?: number, final?: boolean, cause?: unknown }} [more]
   */
  constructor(code, message, more = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'CorecastError';
    this.code = code;
    /** What the user can do; may be empty. */
    this.hint = more.hint ?? HINTS[code] ?? '';
    /** The node's own words, for the author of an app; may be empty. */
    this.detail = more.detail ?? '';
    /** The HTTP status, or 0 if there was none. */
    this.status = more.status ?? 0;
    /** How long the node asks to wait, in milliseconds; 0 if it does not say. */
    this.retryAfterMs = more.retryAfterMs ?? 0;
    /** Asking again the same way will not help. */
    this.final = more.final ?? FINAL_STATUSES.has(this.status);
  }

  /** What happened and what to do, as one text. */
  get explanation() {
    const sentence = /[.!?…]$/.test(this.message) ? this.message : `${this.message}.`;
    return this.hint ? `${sentence} ${this.hint}` : sentence;
  }
}

/**
 * A refusal by the node. problem+json and a WebSocket's `error` message have the same fields.
 *
 * @param {{ status?: unknown, code?: unknown, title?: unknown, detail?: unknown, retry_after_s?: unknown }} problem
 * @returns {CorecastError}
 */
export function fromProblem(problem) {
  const status = Number(problem.status) || 0;
  const fallback = status === 401 ? 'unauthorized' : status === 403 ? 'forbidden' : status ? `http_${status}` : 'refused';
  const code = typeof problem.code === 'string' && problem.code ? problem.code : fallback;
  const detail = [problem.detail, problem.title].find((text) => typeof text === 'string' && text);
  const message = HAPPENED[code] ?? String(detail ?? `The node answered ${status || 'with an error'}`);
  const retryAfterMs = 1_000 * (Number(problem.retry_after_s) || 0);
  return new CorecastError(code, message, { status, retryAfterMs, detail: detail === undefined ? '' : String(detail), hint: HINTS[code] ?? HINTS[fallback] });
}

/**
 * A refusal that came over HTTP, whatever its body is.
 *
 * @param {Response} response
 * @returns {Promise<CorecastError>}
 */
export async function fromResponse(response) {
  const text = await response.text().catch(() => '');
  const retry_after_s = response.headers.get('retry-after');
  try {
    const problem = JSON.parse(text);
    if (problem && typeof problem === 'object') return fromProblem({ retry_after_s, ...problem, status: response.status });
  } catch { /* not JSON: another server, or a proxy before it */ }
  const plain = /^text\/plain/.test(response.headers.get('content-type') ?? '') ? text.trim().slice(0, 300) : '';
  return fromProblem({ status: response.status, detail: plain, retry_after_s });
}

/**
 * A request that got no answer. Browsers do not tell a page why, so that pages cannot probe networks. So the
 * likely reason is derived from what is known here.
 *
 * @param {string} target the URL that was called
 * @param {unknown} cause
 * @returns {CorecastError}
 */
export function unreachable(target, cause) {
  const { host, protocol, origin } = new URL(target);
  const page = globalThis.location;
  const loopback = /^(localhost|127\.|\[::1\])/.test(host);
  if (globalThis.navigator?.onLine === false) return new CorecastError('offline', 'There is no network', { cause });
  if (page?.protocol === 'https:' && /^(http|ws):$/.test(protocol) && !loopback) {
    return new CorecastError('mixed_content', `This page may not call ${host} without TLS`, { cause, final: true });
  }
  const foreign = page?.origin !== undefined && page.origin !== origin.replace(/^ws/, 'http');
  return new CorecastError(foreign ? 'unreachable_or_foreign' : 'unreachable', `${host} does not answer`, { cause });
}

/**
 * Why there is no camera, microphone or screen (Media Capture and Streams §10.3, Screen Capture §5.1).
 *
 * @param {unknown} cause what `getUserMedia` or `getDisplayMedia` threw
 * @param {'camera' | 'microphone' | 'screen'} wanted
 * @returns {CorecastError}
 */
export function fromCapture(cause, wanted) {
  if (cause instanceof CorecastError) return cause;
  const name = cause instanceof Error || cause instanceof DOMException ? cause.name : '';
  const known = {
    NotAllowedError: wanted === 'screen' ? ['cancelled', 'No screen was chosen'] : ['permission_denied', `The browser may not use the ${wanted}`],
    SecurityError: ['insecure_context', `This page may not use the ${wanted}`],
    NotFoundError: [wanted === 'microphone' ? 'no_microphone' : 'no_camera', `No ${wanted} was found`],
    NotReadableError: ['device_busy', `The ${wanted} cannot be read`],
    AbortError: ['device_busy', `The ${wanted} stopped`],
    OverconstrainedError: ['device_unsuitable', `The ${wanted} cannot do that`],
  }[name] ?? ['capture_failed', cause instanceof Error ? cause.message : String(cause)];
  return new CorecastError(known[0], known[1], { cause, final: true });
}
