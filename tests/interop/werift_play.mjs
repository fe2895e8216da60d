// werift plays a stream over WHEP: node werift_play.mjs URL SECONDS [silent]. Prints what it received as JSON. The seconds are those of
// the stream's own time, so that a slow start or a machine that is held up takes nothing from what is counted.

import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';

const cache = process.env.CORECAST_TEST_CACHE ?? path.join(homedir(), '.cache/corecast-tests');
const { RTCPeerConnection, RTCRtpCodecParameters } = createRequire(path.join(cache, 'interop/'))('werift');

const [url, seconds, silent] = process.argv.slice(2);
const feedback = [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }];
const pc = new RTCPeerConnection({
  iceServers: [], bundlePolicy: 'max-bundle',
  codecs: {
    audio: [new RTCRtpCodecParameters({ mimeType: 'audio/opus', clockRate: 48_000, channels: 2 })],
    video: [
      new RTCRtpCodecParameters({ mimeType: 'video/H264', clockRate: 90_000, rtcpFeedback: feedback,
        parameters: 'profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1' }),
      new RTCRtpCodecParameters({ mimeType: 'video/VP8', clockRate: 90_000, rtcpFeedback: feedback }),
    ],
  },
});

const PLAYED_WITHIN_MS = 60_000 + Number(seconds) * 1_000;
const RATES = { video: 90_000, audio: 48_000 };
const seen = { video: 0, audio: 0, frames: 0, gaps: 0, payloadTypes: [], state: '', played: { video: 0, audio: 0 } };
const newest = {};
let last;
pc.onTrack.subscribe((track) => {
  track.onReceiveRtp.subscribe(({ header, payload }) => {
    if (!payload.length) return;
    seen[track.kind]++;
    const { kind } = track;
    // RFC 3550 §5.1: timestamps wrap at 2³².
    const step = (header.timestamp - (newest[kind] ?? header.timestamp)) | 0;
    if (step >= 0) {
      newest[kind] = header.timestamp;
      seen.played[kind] += step / RATES[kind];
    }
    if (track.kind !== 'video') return;
    if (header.marker) seen.frames++;
    if (last !== undefined && ((header.sequenceNumber - last) & 0xffff) !== 1) seen.gaps++;
    last = header.sequenceNumber;
    if (!seen.payloadTypes.includes(header.payloadType)) seen.payloadTypes.push(header.payloadType);
  });
});
pc.addTransceiver('audio', { direction: 'recvonly' });
pc.addTransceiver('video', { direction: 'recvonly' });
await pc.setLocalDescription(await pc.createOffer());
const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: pc.localDescription.sdp });
const answer = await response.text();
if (response.status !== 201) {
  console.error(`POST ${url}: ${response.status} ${answer}`);
  process.exit(1);
}
await pc.setRemoteDescription({ type: 'answer', sdp: answer });
const deadline = Date.now() + PLAYED_WITHIN_MS;
const played = () => (silent ? seen.played.video : Math.min(seen.played.video, seen.played.audio));
while (played() < Number(seconds) && Date.now() < deadline) await new Promise((wake) => setTimeout(wake, 100));
seen.state = pc.connectionState;
console.log(JSON.stringify(seen));
await fetch(new URL(response.headers.get('location'), response.url), { method: 'DELETE' });
process.exit(0);
