// node-datachannel (libdatachannel, which OBS sends with) publishes three encodings over WHIP as OBS 32 offers them: rids "0", "1",
// "2", the largest first, all on one media section: node datachannel_simulcast.mjs URL. Prints the rids that were accepted as a line
// of JSON, and how often each was asked for a key frame as another when its input ends. Goes on until then.
//
// The pictures are headers: real parameter sets of three sizes, and slices that nobody decodes.

import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';

const cache = process.env.CORECAST_TEST_CACHE ?? path.join(homedir(), '.cache/corecast-tests');
const { PeerConnection, Video, cleanup } = createRequire(path.join(cache, 'interop/'))('node-datachannel');

const [url] = process.argv.slice(2);
const WITHIN_MS = 60_000;
const PAYLOAD_TYPE = 96;
const [MID, RID] = [1, 2];
const URIS = { [MID]: 'urn:ietf:params:rtp-hdrext:sdes:mid', [RID]: 'urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id' };
const wait = (ms) => new Promise((wake) => setTimeout(wake, ms));
const hex = (text) => Buffer.from(text, 'hex');
const PPS = hex('68cb83cb20');
/** As x264 writes them: 1,920 × 1,080, 854 × 480, 320 × 180. The sizes of a frame are what encoders of these rates make. */
const encodings = [
  { rid: '0', ssrc: 1_001, sps: hex('67640028acd940780227e584000003000400000300f03c60c658'), fragments: 8 },
  { rid: '1', ssrc: 1_002, sps: hex('674d401feca06c1ef37080000003008000001e078c18cb'), fragments: 3 },
  { rid: '2', ssrc: 1_003, sps: hex('6742c00dd901419f9e10000003001000000303c0f142a480'), fragments: 1 },
].map((encoding) => ({ ...encoding, sequence: 100, asked: 0, keyFrame: true }));

const connection = new PeerConnection('publisher', { iceServers: [] });
const video = new Video('0', 'SendOnly');
video.addH264Codec(PAYLOAD_TYPE);
for (const { ssrc } of encodings) video.addSSRC(ssrc, 'obs', 'obs', 'obs-video');
const track = connection.addTrack(video);
track.onMessage((message) => {
  // A compound: PLI is payload-specific feedback 1 (RFC 4585 §6.3.1), its media source comes after the sender's.
  for (let at = 0; at + 12 <= message.length; at += 4 * (message.readUInt16BE(at + 2) + 1)) {
    if (message[at + 1] !== 206 || (message[at] & 0x1f) !== 1) continue;
    const encoding = encodings.find(({ ssrc }) => ssrc === message.readUInt32BE(at + 8));
    if (encoding) [encoding.asked, encoding.keyFrame] = [encoding.asked + 1, true];
  }
});
connection.setLocalDescription('offer');
const deadline = Date.now() + WITHIN_MS;
while (connection.gatheringState() !== 'complete') {
  if (Date.now() > deadline) throw new Error('candidates were not gathered');
  await wait(50);
}
const lines = [
  ...Object.entries(URIS).map(([id, uri]) => `a=extmap:${id} ${uri}`),
  ...encodings.map(({ rid }) => `a=rid:${rid} send`), `a=simulcast:send ${encodings.map(({ rid }) => rid).join(';')}`,
];
const offer = `${connection.localDescription().sdp.trimEnd()}\r\n${lines.join('\r\n')}\r\n`;
const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: offer });
const answer = await response.text();
if (response.status !== 201) {
  console.error(`POST ${url}: ${response.status} ${answer}\n${offer}`);
  process.exit(1);
}
connection.setRemoteDescription(answer, 'answer');
while (!track.isOpen()) {
  if (Date.now() > deadline) throw new Error(`not connected: ${connection.state()}\n${answer}`);
  await wait(50);
}
const accepted = [...answer.matchAll(/^a=rid:(\S+) recv\r?$/gm)].map(([, rid]) => rid);
console.log(JSON.stringify({ accepted, simulcast: /^a=simulcast:(.*?)\r?$/m.exec(answer)?.[1] }));

/** One RTP packet with mid and rid, each an element of a one-byte extension (RFC 8285 §4.2). */
function send(encoding, timestamp, marker, payload) {
  const elements = [MID << 4, 0x30, RID << 4, encoding.rid.charCodeAt(0)];
  const header = Buffer.alloc(16 + elements.length);
  header[0] = 0x90;
  header[1] = (marker ? 0x80 : 0) | PAYLOAD_TYPE;
  header.writeUInt16BE(encoding.sequence++ & 0xffff, 2);
  header.writeUInt32BE(timestamp >>> 0, 4);
  header.writeUInt32BE(encoding.ssrc, 8);
  header.writeUInt16BE(0xbede, 12);
  header.writeUInt16BE(elements.length / 4, 14);
  header.set(elements, 16);
  track.sendMessageBinary(Buffer.concat([header, payload]));
}

function picture(encoding, timestamp) {
  const isKey = encoding.keyFrame;
  encoding.keyFrame = false;
  if (isKey) {
    const sized = (unit) => Buffer.concat([Buffer.from([unit.length >> 8, unit.length & 0xff]), unit]);
    send(encoding, timestamp, false, Buffer.concat([Buffer.from([0x78]), sized(encoding.sps), sized(PPS)]));
  }
  for (let at = 0; at < encoding.fragments; at++) {
    // FU-A (RFC 6184 §5.8) of an IDR or another slice, whose first bit says that the picture begins.
    const [first, last] = [at === 0, at === encoding.fragments - 1];
    const head = first && last ? [isKey ? 0x65 : 0x41, 0x88] : [0x7c, (first ? 0x80 : 0) | (last ? 0x40 : 0) | (isKey ? 5 : 1), 0x88];
    send(encoding, timestamp, last, Buffer.concat([Buffer.from(head), Buffer.alloc(900, at)]));
  }
}

let ended = false;
process.stdin.on('end', () => { ended = true; }).resume();
const from = Date.now();
for (let frame = 0; !ended; frame++) {
  for (const encoding of encodings) picture(encoding, frame * 3_000);
  await wait(Math.max(0, from + (frame + 1) * 1_000 / 30 - Date.now()));
}
console.log(JSON.stringify({ asked: Object.fromEntries(encodings.map(({ rid, asked }) => [rid, asked])) }));
await fetch(new URL(response.headers.get('location'), url), { method: 'DELETE' });
track.close();
connection.close();
cleanup();
process.exit(0);
