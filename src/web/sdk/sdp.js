// How the SDK reads and changes session descriptions. Lines stay as they are unless a function says otherwise.

const VIDEO_CODECS = /^a=rtpmap:(\d+) (?:H264|H265|VP8|VP9|AV1)\/90000$/i;

/** @param {string} sdp */
const linesOf = (sdp) => sdp.split(/\r?\n/).filter((line) => line !== '');

/** @param {string[]} lines */
const joined = (lines) => `${lines.join('\r\n')}\r\n`;

/**
 * Where Chromium's bandwidth estimate starts. Left to itself it starts at 300 kbit/s, at which a 720p camera is sent as
 * 320 × 180 until the estimate has grown: 16.2 s to full size in each of three starts (Chromium 156, H.264, at most
 * 2.5 Mbit/s, loopback, a busy machine). With half of the most it is full size at once (2 of 4 starts), or 960 × 540 at
 * once and full size after 6.2 s; 60 to 80 % of the most did no better. The parameter goes into the *remote* description,
 * for every video codec; other browsers ignore it.
 *
 * @param {string} answer
 * @param {number} kbps kbit/s
 * @returns {string}
 */
export function withStartBitrate(answer, kbps) {
  const parameter = `x-google-start-bitrate=${Math.round(kbps)}`;
  const lines = linesOf(answer);
  const payloadTypes = new Set(lines.map((line) => VIDEO_CODECS.exec(line)?.[1]).filter((found) => found !== undefined));
  const formatted = new Set();
  const out = lines.map((line) => {
    const [, payloadType, parameters] = /^a=fmtp:(\d+) (.*)$/.exec(line) ?? [];
    if (payloadType === undefined || !payloadTypes.has(payloadType)) return line;
    formatted.add(payloadType);
    const kept = parameters.split(';').filter((each) => !each.trim().startsWith('x-google-start-bitrate='));
    return `a=fmtp:${payloadType} ${[...kept, parameter].join(';')}`;
  });
  return joined(out.flatMap((line) => {
    const payloadType = VIDEO_CODECS.exec(line)?.[1];
    return payloadType !== undefined && !formatted.has(payloadType) ? [line, `a=fmtp:${payloadType} ${parameter}`] : [line];
  }));
}

/**
 * Says of an offer's second picture that it is the first one in another codec. Without that a node takes it for another camera.
 *
 * @param {string} offer
 * @returns {string}
 */
export function withTwin(offer) {
  const lines = linesOf(offer);
  const [first, second] = lines.flatMap((line, index) => (line.startsWith('m=video ') ? [index] : []));
  const mid = lines.slice(first, second).find((line) => line.startsWith('a=mid:'))?.slice('a=mid:'.length);
  if (second === undefined || mid === undefined) return offer;
  const end = lines.findIndex((line, index) => index > second && line.startsWith('m='));
  const at = end < 0 ? lines.length : end;
  return joined([...lines.slice(0, at), `a=x-corecast-twin-of:${mid}`, ...lines.slice(at)]);
}

const FEEDBACK_ON_REQUEST = 'http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02';

/**
 * Offers feedback on request for a viewer's picture. Chromium gives it where only the answer has it, and does not offer it; with
 * Firefox such an answer fails, so that its offers are left alone.
 *
 * @param {string} offer
 * @returns {string}
 */
export function withFeedbackOnRequest(offer) {
  const lines = linesOf(offer);
  const used = lines.map((line) => Number(/^a=extmap:(\d+)/.exec(line)?.[1]));
  const free = Array.from({ length: 14 }, (_, index) => 14 - index).find((id) => !used.includes(id));
  const video = lines.findIndex((line) => line.startsWith('m=video '));
  const at = lines.findIndex((line, index) => index > video && /^a=extmap:\d+ .*transport-wide-cc-extensions-01/.test(line));
  if (free === undefined || video < 0 || at < 0 || lines.some((line) => line.includes(FEEDBACK_ON_REQUEST))) return offer;
  return joined([...lines.slice(0, at), `a=extmap:${free} ${FEEDBACK_ON_REQUEST}`, ...lines.slice(at)]);
}

/**
 * Half of the maximum bitrate, within what networks usually carry: 300 to 2,500 kbit/s.
 *
 * @param {number} maxBitrate bit/s
 * @returns {number} kbit/s
 */
export const startBitrate = (maxBitrate) => Math.min(2_500, Math.max(300, Math.round(maxBitrate / 2_000)));

/**
 * The fragment for an ICE restart (RFC 8840 §9, RFC 9725 §4.3.3): the new credentials of the section with the transport.
 *
 * @param {string} offer
 * @returns {string} application/trickle-ice-sdpfrag
 */
export function restartFragment(offer) {
  const lines = linesOf(offer);
  const media = lines.findIndex((line) => line.startsWith('m='));
  const section = lines.slice(media, lines.findIndex((line, index) => index > media && line.startsWith('m=')) >>> 0);
  /** @param {string} name */
  const find = (name) => section.find((line) => line.startsWith(`a=${name}:`)) ?? lines.find((line) => line.startsWith(`a=${name}:`));
  const [group, mid, ufrag, password] = ['group', 'mid', 'ice-ufrag', 'ice-pwd'].map(find);
  if (media < 0 || !ufrag || !password) throw new TypeError('an offer without ICE credentials');
  return joined([group, lines[media], mid, ufrag, password].filter((line) => line !== undefined));
}

/**
 * The answer after a restart: the present one with the node's new credentials, and with its new candidates
 * if the fragment has any.
 *
 * @param {string} answer
 * @param {string} fragment
 * @returns {string}
 */
export function restartedAnswer(answer, fragment) {
  const news = linesOf(fragment);
  const ufrag = news.find((line) => line.startsWith('a=ice-ufrag:'));
  const password = news.find((line) => line.startsWith('a=ice-pwd:'));
  if (!ufrag || !password) throw new TypeError('a restart without ICE credentials');
  const candidates = news.filter((line) => line.startsWith('a=candidate:'));
  let placed = false;
  return joined(linesOf(answer).flatMap((line) => {
    if (line.startsWith('a=ice-ufrag:')) return [ufrag];
    if (line.startsWith('a=ice-pwd:')) {
      // With BUNDLE the first section's candidates are those of all sections.
      const here = placed ? [] : candidates;
      placed = true;
      return [password, ...here];
    }
    return candidates.length && line.startsWith('a=candidate:') ? [] : [line];
  }));
}

/** The links of a Link header (RFC 8288 §3): their targets and parameters. @param {string | null} header */
function* links(header) {
  for (const [, url, parameters] of (header ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"[^"]*"|[^\s;,]+))*)/g)) {
    /** @type {Record<string, string>} */
    const found = {};
    for (const [, name, quoted, bare] of parameters.matchAll(/([\w-]+)\s*=\s*(?:"([^"]*)"|([^\s;,]+))/g)) found[name.toLowerCase()] = quoted ?? bare;
    yield { url, found };
  }
}

/**
 * Parses the ICE servers in a Link header (RFC 9725 §4.6).
 *
 * @param {string | null} header
 * @returns {RTCIceServer[]}
 */
export function iceServers(header) {
  const servers = [];
  for (const { url, found } of links(header)) {
    if (found.rel === 'ice-server') servers.push({ urls: url, username: found.username, credential: found.credential });
  }
  return servers;
}

/** The target of the first link with this relation. @param {string | null} header @param {string} rel @returns {string | undefined} */
export function linked(header, rel) {
  for (const { url, found } of links(header)) if (found.rel === rel) return url;
  return undefined;
}
