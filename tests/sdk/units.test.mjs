// The parts that need no network: waits, session descriptions, words for problems, figures, codecs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff, pause } from '../../src/web/sdk/backoff.js';
import { codecPreferences } from '../../src/web/sdk/codecs.js';
import { CorecastError, fromCapture, fromProblem, fromResponse, unreachable } from '../../src/web/sdk/errors.js';
import { sendEncodings } from '../../src/web/sdk/simulcast.js';
import { iceServers, restartFragment, restartedAnswer, startBitrate, withFeedbackOnRequest, withStartBitrate, withTwin } from '../../src/web/sdk/sdp.js';
import { Meter } from '../../src/web/sdk/stats.js';
import { nodeUrl } from '../../src/web/sdk/transport.js';

test('waits double, are spread over their upper half, and stop growing', () => {
  for (const [random, expected] of [[0, [250, 500, 1_000, 2_000, 2_000]], [0.999_999, [500, 1_000, 2_000, 4_000, 4_000]]]) {
    const backoff = new Backoff({ firstMs: 500, mostMs: 4_000, random: () => random });
    assert.deepEqual(expected.map(() => Math.round(backoff.next())), expected);
    assert.equal(backoff.attempt, 5);
    backoff.reset();
    assert.equal(Math.round(backoff.next()), expected[0], 'a success begins anew');
  }
});

test('what the node asks for is the least, and is spread too', () => {
  const at = (random) => new Backoff({ firstMs: 500, mostMs: 4_000, random: () => random }).next(10_000);
  assert.equal(at(0), 10_000);
  assert.ok(at(0.999) > 12_000 && at(0.999) <= 12_500);
});

test('a thousand attempts do not overflow', () => {
  const backoff = new Backoff({ firstMs: 1, mostMs: 100, random: () => 1 });
  for (let attempt = 0; attempt < 1_000; attempt++) backoff.next();
  assert.equal(backoff.next(), 100);
});

test('a pause ends by itself, by being hurried, and by being stopped', async () => {
  await pause(1, new AbortController().signal);
  const from = Date.now();
  await pause(60_000, new AbortController().signal, (wake) => setTimeout(wake, 1));
  await pause(60_000, AbortSignal.abort());
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 1);
  await pause(60_000, stop.signal);
  assert.ok(Date.now() - from < 30_000, 'none of the three took its minute');
});

const VIDEO = ['v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10', 'm=video 9 UDP/TLS/RTP/SAVPF 96 97 98',
  'a=rtpmap:96 VP8/90000', 'a=rtpmap:97 rtx/90000', 'a=fmtp:97 apt=96', 'a=rtpmap:98 H264/90000', 'a=fmtp:98 packetization-mode=1', ''].join('\r\n');

test('the start bitrate goes to every video codec and to nothing else', () => {
  const lines = withStartBitrate(VIDEO, 1_250).split('\r\n');
  assert.deepEqual(lines.filter((line) => line.includes('x-google')), ['a=fmtp:96 x-google-start-bitrate=1250', 'a=fmtp:98 packetization-mode=1;x-google-start-bitrate=1250']);
  assert.equal(lines[lines.indexOf('a=rtpmap:96 VP8/90000') + 1], 'a=fmtp:96 x-google-start-bitrate=1250');
  assert.deepEqual(lines.filter((line) => !line.includes('x-google')), VIDEO.split('\r\n').filter((line) => line !== 'a=fmtp:98 packetization-mode=1'));
});

test('a start bitrate that is there already is replaced, and applying it twice changes nothing', () => {
  const once = withStartBitrate(VIDEO, 300);
  assert.equal(withStartBitrate(once, 300), once);
  assert.equal(withStartBitrate(withStartBitrate(VIDEO, 9_999), 300), once);
});

test('an offer says of its second picture that it is a twin, and nothing where there is one', () => {
  const one = ['v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:v', ''].join('\r\n');
  assert.equal(withTwin(one), one);
  const two = `${one}m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:w\r\n`;
  assert.equal(withTwin(two), `${two}a=x-corecast-twin-of:v\r\n`);
  const data = `${two}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n`;
  assert.equal(withTwin(data), data.replace('a=mid:w', 'a=mid:w\r\na=x-corecast-twin-of:v'));
});

test('feedback on request is offered under a free number, once, and only beside the usual form', () => {
  const first = 'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01';
  const second = 'http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02';
  const offer = ['v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', `a=extmap:3 ${first}`, 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=extmap:14 urn:x', `a=extmap:3 ${first}`, ''].join('\r\n');
  const asked = withFeedbackOnRequest(offer);
  assert.equal(asked, offer.replace(/(urn:x\r\n)/, `$1a=extmap:13 ${second}\r\n`));
  assert.equal(withFeedbackOnRequest(asked), asked);
  const without = offer.replace(`urn:x\r\na=extmap:3 ${first}`, 'urn:x');
  assert.equal(withFeedbackOnRequest(without), without);
});

test('the start bitrate is half of the most, within what networks usually carry', () => {
  assert.deepEqual([100_000, 1_000_000, 2_500_000, 50_000_000].map(startBitrate), [300, 500, 1_250, 2_500]);
});

test('a restart sends the new credentials of the first section alone', () => {
  const offer = ['v=0', 'a=group:BUNDLE 0 1', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0', 'a=ice-ufrag:new', 'a=ice-pwd:word', 'a=rtpmap:111 opus/48000/2',
    'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:1', 'a=ice-ufrag:new', 'a=ice-pwd:word', ''].join('\r\n');
  assert.equal(restartFragment(offer), 'a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:new\r\na=ice-pwd:word\r\n');
  assert.equal(restartFragment('v=0\r\nm=video 9 x 96\r\na=mid:0\r\na=ice-ufrag:only\r\na=ice-pwd:one\r\n'), 'm=video 9 x 96\r\na=mid:0\r\na=ice-ufrag:only\r\na=ice-pwd:one\r\n');
  assert.throws(() => restartFragment('v=0\r\n'), TypeError);
});

const SECTIONS = ['v=0', 'm=audio 9 x 111', 'a=mid:0', 'a=ice-ufrag:old', 'a=ice-pwd:old', 'a=candidate:old', 'm=video 9 x 96', 'a=mid:1', 'a=ice-ufrag:old', 'a=ice-pwd:old', ''].join('\r\n');

test('a restarted answer has the new credentials everywhere and the new candidates once', () => {
  assert.equal(restartedAnswer(SECTIONS, 'a=ice-ufrag:new\r\na=ice-pwd:word\r\na=candidate:new\r\n'),
    ['v=0', 'm=audio 9 x 111', 'a=mid:0', 'a=ice-ufrag:new', 'a=ice-pwd:word', 'a=candidate:new', 'm=video 9 x 96', 'a=mid:1', 'a=ice-ufrag:new', 'a=ice-pwd:word', ''].join('\r\n'));
  assert.match(restartedAnswer(SECTIONS, 'a=ice-ufrag:new\na=ice-pwd:word\n'), /a=candidate:old/, 'none are new: the old ones stay');
  assert.throws(() => restartedAnswer(SECTIONS, 'a=candidate:new\r\n'), TypeError);
});

test('ICE servers are read from Link headers, quoted or not, among others', () => {
  assert.deepEqual(iceServers('<https://a.example/>; rel="help", <turn:t.example?transport=udp>; rel="ice-server"; username="u,1"; credential="p;w", <stun:s.example>;rel=ice-server'), [
    { urls: 'turn:t.example?transport=udp', username: 'u,1', credential: 'p;w' },
    { urls: 'stun:s.example', username: undefined, credential: undefined },
  ]);
  assert.deepEqual(iceServers(null), []);
});

test('a problem of the node is told to a person, its own words are kept, and one nobody knows yet speaks for itself', () => {
  const error = fromProblem({ status: 409, code: 'name_taken', title: 'Conflict', detail: 'the name has a publisher' });
  assert.ok(error instanceof CorecastError && error instanceof Error);
  assert.deepEqual([error.code, error.status, error.final, error.detail], ['name_taken', 409, true, 'the name has a publisher']);
  assert.match(error.explanation, /^This stream has a publisher already\. Choose another stream name/);
  const unknown = fromProblem({ status: 422, code: 'new_one', detail: 'the offer has no BUNDLE group' });
  assert.deepEqual([unknown.code, unknown.message, unknown.hint], ['new_one', 'the offer has no BUNDLE group', '']);
});

test('which refusals are final', () => {
  for (const [status, final] of [[400, true], [401, true], [403, true], [404, true], [406, true], [409, true], [421, true], [422, true], [408, false], [429, false], [500, false], [503, false]]) {
    assert.equal(fromProblem({ status }).final, final, `${status}`);
  }
});

test('an answer that is no problem+json is understood as far as it goes', async () => {
  const json = await fromResponse(new Response(JSON.stringify({ status: 503, code: 'node_full', detail: 'full' }), { status: 503, headers: { 'retry-after': '7' } }));
  assert.deepEqual([json.code, json.retryAfterMs, json.final], ['node_full', 7_000, false]);
  const proxy = await fromResponse(new Response('<html>Bad gateway</html>', { status: 502, headers: { 'content-type': 'text/html' } }));
  assert.deepEqual([proxy.code, proxy.message], ['http_502', 'The node answered 502']);
  const token = await fromResponse(new Response('', { status: 401 }));
  assert.deepEqual([token.code, token.final], ['unauthorized', true]);
});

test('captures that fail say why and what to do', () => {
  for (const [name, wanted, code] of [['NotAllowedError', 'camera', 'permission_denied'], ['NotAllowedError', 'screen', 'cancelled'], ['NotFoundError', 'camera', 'no_camera'],
    ['NotFoundError', 'microphone', 'no_microphone'], ['NotReadableError', 'camera', 'device_busy'], ['OverconstrainedError', 'camera', 'device_unsuitable'], ['SecurityError', 'camera', 'insecure_context']]) {
    const error = fromCapture(new DOMException('x', name), wanted);
    assert.equal(error.code, code);
    assert.ok(error.hint && error.final, `${name} has no hint`);
  }
  assert.equal(fromCapture(new Error('odd'), 'camera').code, 'capture_failed');
});

test('a node that does not answer is explained by where the page is', (t) => {
  t.after(() => { delete globalThis.location; });
  const at = (origin, target) => { globalThis.location = new URL(origin); return unreachable(target, new TypeError('failed')).code; };
  assert.equal(at('https://node.example', 'https://node.example/whip/a'), 'unreachable');
  assert.equal(at('https://node.example', 'wss://node.example/ws'), 'unreachable');
  assert.equal(at('https://app.example', 'https://node.example/whip/a'), 'unreachable_or_foreign');
  assert.equal(at('https://app.example', 'http://node.example/whip/a'), 'mixed_content');
  assert.equal(at('https://app.example', 'http://localhost:1/whip/a'), 'unreachable_or_foreign');
});

test('addresses of nodes', () => {
  assert.equal(nodeUrl('https://node.example/'), 'https://node.example');
  assert.equal(nodeUrl('https://node.example:8443/edge/'), 'https://node.example:8443/edge');
  for (const bad of ['node.example', 'ftp://node.example', '', undefined]) assert.throws(() => nodeUrl(bad), { code: 'bad_url', final: true });
});

const CAPABLE = ['video/VP8', 'video/rtx', 'video/AV1', 'video/H264', 'video/H264', 'video/red', 'video/VP9'].map((mimeType, index) => ({ mimeType, clockRate: 90_000, sdpFmtpLine: `${index}` }));

test('the wanted codec is offered alone in all its profiles, every other after H.264 where none is wanted, retransmission always', () => {
  const names = (first) => codecPreferences(first, CAPABLE).map(({ mimeType }) => mimeType.slice(6));
  assert.deepEqual(names(), ['H264', 'H264', 'VP8', 'VP9', 'AV1', 'rtx']);
  assert.deepEqual(names('vp9'), ['VP9', 'rtx']);
  assert.deepEqual(names('H.264'), ['H264', 'H264', 'rtx']);
  assert.deepEqual(names('H265'), names(), 'a codec the browser has not got');
  assert.deepEqual(codecPreferences('H264', []), []);
});

const inbound = (seconds, more = {}) => [
  { id: 'v', type: 'inbound-rtp', kind: 'video', timestamp: 1_000 * seconds, codecId: 'c', bytesReceived: 100_000 * seconds, packetsReceived: 90 * seconds, packetsLost: 10 * seconds,
    framesDecoded: 30 * seconds, frameWidth: 1280, frameHeight: 720, jitterBufferDelay: 1.5 * seconds, jitterBufferEmittedCount: 30 * seconds, totalDecodeTime: 0.15 * seconds, ...more },
  { id: 'a', type: 'inbound-rtp', kind: 'audio', timestamp: 1_000 * seconds, bytesReceived: 4_000 * seconds, packetsReceived: 50 * seconds, packetsLost: 0 },
  { id: 'c', type: 'codec', mimeType: 'video/H264' },
  { id: 't', type: 'transport', selectedCandidatePairId: 'p', tlsVersion: 'FEFC', srtpCipher: 'AEAD_AES_128_GCM' },
  { id: 'p', type: 'candidate-pair', currentRoundTripTime: 0.02 },
];

test('figures of a viewer: rates between two readings, of both kinds together', () => {
  const meter = new Meter();
  const pc = {};
  assert.equal(meter.digest(inbound(1), pc, 'play').bitsPerSecond, 0, 'one reading has no rate');
  const stats = meter.digest(inbound(3), pc, 'play');
  assert.deepEqual([stats.bitsPerSecond, stats.framesPerSecond, stats.packetsLost, stats.lossShare], [832_000, 30, 30, 30 / (420 + 30)]);
  assert.deepEqual([stats.codec, stats.width, stats.roundTripMs, stats.jitterBufferMs, stats.latencyMs, stats.dtls], ['H264', 1280, 20, 50, 65, '1.3']);
  assert.equal(meter.digest(inbound(3), pc, 'play').bitsPerSecond, 0, 'the same instant again');
  assert.equal(meter.digest(inbound(5), pc, 'play').bitsPerSecond, 832_000, 'which does not spoil the next');
  assert.equal(meter.digest(inbound(1), {}, 'play').bitsPerSecond, 0, 'another connection counts from nought');
});

test('figures of a publisher: loss is the node’s report, the pair is found without a transport', () => {
  const meter = new Meter();
  const report = (seconds) => [
    { id: 'v', type: 'outbound-rtp', kind: 'video', timestamp: 1_000 * seconds, remoteId: 'r', bytesSent: 125_000 * seconds, packetsSent: 100 * seconds, framesEncoded: 25 * seconds, nackCount: 3, pliCount: 1, firCount: 1, qualityLimitationReason: 'cpu' },
    { id: 'r', type: 'remote-inbound-rtp', packetsLost: 7, fractionLost: 0.01 },
    { id: 'p', type: 'candidate-pair', nominated: true, state: 'succeeded', currentRoundTripTime: 0.004, availableOutgoingBitrate: 3e6 },
  ];
  const pc = {};
  meter.digest(report(1), pc, 'publish');
  const stats = meter.digest(report(2), pc, 'publish');
  assert.deepEqual([stats.bitsPerSecond, stats.framesPerSecond, stats.packetsLost, stats.lossShare, stats.nacks, stats.keyFrameRequests], [1e6, 25, 7, 0.01, 3, 2]);
  assert.deepEqual([stats.roundTripMs, stats.availableBitsPerSecond, stats.limitedBy, stats.latencyMs], [4, 3e6, 'cpu', undefined]);
});

test('figures of a publisher of several layers: sums, the largest picture, and each layer, paused ones too', () => {
  const meter = new Meter();
  const pc = {};
  const layer = (rid, frameHeight, seconds, kbps, extra = {}) => ({
    id: rid, type: 'outbound-rtp', kind: 'video', rid, timestamp: 1_000 * seconds, remoteId: `r${rid}`, frameWidth: frameHeight * 16 / 9, frameHeight,
    bytesSent: 125 * kbps * seconds, packetsSent: 10 * seconds, framesEncoded: 30 * seconds, nackCount: 1, pliCount: 2, ...extra,
  });
  const report = (seconds, high) => [
    high, layer('l', 180, seconds, 150), layer('m', 360, seconds, 500),
    ...['l', 'm', 'h'].map((rid) => ({ id: `r${rid}`, type: 'remote-inbound-rtp', packetsLost: 2, fractionLost: 0 })),
  ];
  meter.digest(report(1, layer('h', 720, 1, 2_500)), pc, 'publish');
  const stats = meter.digest(report(2, layer('h', 720, 2, 2_500)), pc, 'publish');
  assert.deepEqual([stats.bitsPerSecond, stats.framesPerSecond, stats.height, stats.packets, stats.nacks, stats.keyFrameRequests, stats.packetsLost], [3_150_000, 30, 720, 60, 3, 6, 6]);
  assert.deepEqual(stats.layers.map(({ rid, height, bitsPerSecond, framesPerSecond, paused }) => [rid, height, bitsPerSecond, framesPerSecond, paused]),
    [['l', 180, 150_000, 30, false], ['m', 360, 500_000, 30, false], ['h', 720, 2_500_000, 30, false]]);
  const paused = meter.digest(report(3, layer('h', 720, 3, 0, { bytesSent: 2 * 125 * 2_500, framesEncoded: 60 })), pc, 'publish');
  assert.deepEqual(paused.layers.map((each) => each.paused), [false, false, true]);
  assert.deepEqual([paused.bitsPerSecond, paused.framesPerSecond], [650_000, 30], 'the others go on');
});

test('a picture is sent in as many layers as its size is worth, the lowest first, and in one where that is asked for', () => {
  const rids = (width, height, wanted = {}) => sendEncodings({ width, height }, { maxBitrate: 2_500_000, ...wanted }).map(({ rid, scaleResolutionDownBy, maxBitrate }) => [rid, scaleResolutionDownBy, maxBitrate]);
  assert.deepEqual(rids(1280, 720), [['l', 4, 150_000], ['m', 2, 500_000], ['h', 1, 2_500_000]]);
  assert.deepEqual(rids(720, 1280).map(([rid]) => rid), ['l', 'm', 'h'], 'upright');
  assert.deepEqual(rids(640, 480).map(([rid]) => rid), ['m', 'h']);
  for (const single of [rids(640, 360), rids(1280, 720, { simulcast: false }), rids(undefined, undefined)]) assert.deepEqual(single, [[undefined, undefined, 2_500_000]]);
  // Without a browser that can be told not to, VP9 would become spatial layers of one stream.
  assert.deepEqual(rids(1280, 720, { codec: 'VP9' }), [[undefined, undefined, 2_500_000]]);
  assert.deepEqual(rids(1280, 720, { codec: 'H.264', maxBitrate: 600_000 }).map(([, , bitrate]) => bitrate), [60_000, 120_000, 600_000]);
});

test('a report with nothing in it gives figures and no exception', () => {
  const stats = new Meter().digest([], {}, 'play');
  assert.deepEqual([stats.bitsPerSecond, stats.codec, stats.roundTripMs, stats.lossShare], [0, undefined, undefined, 0]);
});
