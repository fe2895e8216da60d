// node-datachannel (libdatachannel) plays a stream with data channels over WHEP: node datachannel_play.mjs URL COUNT. Prints
// what it received on each channel as JSON, once there are COUNT messages on every one of two or time is over.

import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';

const cache = process.env.CORECAST_TEST_CACHE ?? path.join(homedir(), '.cache/corecast-tests');
const { PeerConnection, Video, cleanup } = createRequire(path.join(cache, 'interop/'))('node-datachannel');

const [url, count] = process.argv.slice(2);
const WITHIN_MS = 60_000;
const wait = (ms) => new Promise((wake) => setTimeout(wake, ms));

const connection = new PeerConnection('player', { iceServers: [] });
const video = new Video('video', 'RecvOnly');
video.addVP8Codec(96);
video.addH264Codec(97);
const track = connection.addTrack(video);
const own = connection.createDataChannel('corecast', { negotiated: true, id: 0 });
const seen = {};
const kept = [track, own];
connection.onDataChannel((channel) => {
  const one = { protocol: channel.getProtocol(), numbers: [] };
  seen[channel.getLabel()] = one;
  channel.onMessage((text) => one.numbers.push(Number(text)));
  kept.push(channel);
});
connection.setLocalDescription('offer');
const deadline = Date.now() + WITHIN_MS;
while (connection.gatheringState() !== 'complete') {
  if (Date.now() > deadline) throw new Error('candidates were not gathered');
  await wait(50);
}
const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: connection.localDescription().sdp });
const answer = await response.text();
if (response.status !== 201) {
  console.error(`POST ${url}: ${response.status} ${answer}\n${connection.localDescription().sdp}`);
  process.exit(1);
}
connection.setRemoteDescription(answer, 'answer');
const isComplete = () => Object.keys(seen).length >= 2 && Object.values(seen).every(({ numbers }) => numbers.length >= Number(count));
while (!isComplete() && Date.now() < deadline) await wait(100);
console.log(JSON.stringify({ state: connection.state(), channels: seen }));
await fetch(new URL(response.headers.get('location'), url), { method: 'DELETE' });
kept.forEach((one) => one.close());
connection.close();
cleanup();
process.exit(0);
