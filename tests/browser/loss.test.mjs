// Single packets are dropped at random on the wire, first towards a viewer, then from the publisher: retransmission
// repairs it, and nobody sees a freeze. Offloads are off, so that what is dropped is one packet and not a train.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { repository } from './lib/artifacts.mjs';
import { disableOffloads, enter, startLoss, NODE_IP, PEER_IP } from './lib/netns.mjs';
import { Browser, Publisher, Viewer, closePages, servePages } from './lib/browsers.mjs';
import { Corecast } from './lib/corecast.mjs';
import { judgePicture, reachesBitrate, summary, watch } from './lib/watching.mjs';
import { Suite } from './lib/suite.mjs';

await enter();
disableOffloads();
const suite = new Suite('loss');
const site = await servePages();
const chromium = await Browser.start('chromium');
const publishing = await Browser.start('chromium', { first: true });
const SECONDS = 12;
/** Of the sound's samples, those that the browser had to make up. */
const CONCEALED_MAX = 0.02;

/** Built beside the node. */
const LOADTEST = path.join(path.dirname(process.env.CORECAST_BIN ?? path.join(repository, 'target/release/corecast')), 'corecast-loadtest');

/** The stream's video, summed over workers. */
async function uplink(node, stream) {
  const encodings = (await node.workers()).flatMap(({ streams }) => streams)
    .filter(({ name, origin }) => name === stream && origin).flatMap((found) => found.encodings)
    .filter(({ kind }) => kind === 'video');
  const sum = (field) => encodings.reduce((total, encoding) => total + encoding[field], 0);
  return { lost: sum('lost'), recovered: sum('recovered'), keyFrameRequests: sum('key_frame_requests') };
}

async function lossy(check, note, percent, direction) {
  const node = await Corecast.start(`loss-${direction}-${percent}`);
  const stream = 'lossy';
  try {
    const publisher = await Publisher.start(publishing, site.base, node, stream, {});
    const viewer = await (await Viewer.start(chromium, site.base, node, stream)).playing();
    await reachesBitrate(publisher);
    // Chromium probes for bandwidth with retransmissions in its first seconds: they are none of ours.
    await sleep(3_000);
    const towards = direction === 'downlink'
      ? { to: (await viewer.stats()).localPort } : { from: (await publisher.stats()).localPort };
    check(towards.to ?? towards.from, 'the browser does not say its port');
    const before = await uplink(node, stream);
    const loss = startLoss(percent, towards);
    let seen;
    let wire;
    try {
      [seen] = await watch(publisher, [viewer], SECONDS);
      wire = loss.count();
    } finally {
      loss.stop();
    }
    const after = await uplink(node, stream);
    note({ wire: { ...wire, percent: (100 * wire.dropped / wire.seen).toFixed(1) }, viewer: summary(seen) });
    check(wire.dropped >= 0.6 * percent * wire.seen / 100 && wire.dropped > 50, `only ${wire.dropped} of ${wire.seen} packets were dropped`);
    judgePicture(check, seen);
    const concealed = seen.change.audioConcealed / seen.change.audioSamples;
    note({ sound: `${(100 * concealed).toFixed(2)} % of ${seen.change.audioSamples} samples concealed` });
    check(concealed <= CONCEALED_MAX, `${(100 * concealed).toFixed(2)} % of the sound was concealed`);
    if (direction === 'downlink') {
      // Chromium counts a packet as lost even when its retransmission came.
      const share = seen.change.retransmitted / seen.change.lost;
      note({ recovered: `${seen.change.retransmitted} of ${seen.change.lost} (${(100 * share).toFixed(1)} %)` });
      check(seen.change.lost > 0 && share >= 0.95, `${seen.change.retransmitted} of ${seen.change.lost} lost packets came again`);
      check(seen.change.pli <= 2, `the viewer asked for ${seen.change.pli} key frames`);
    } else {
      const recovered = after.recovered - before.recovered;
      const lost = recovered + after.lost - before.lost;
      const asked = seen.published.pli + (seen.published.fir ?? 0);
      note({ recovered: `${recovered} of ${lost}`, keyFrameRequests: asked, publisherNacks: seen.published.nack });
      check(lost > 0 && recovered >= 0.95 * lost, `the node recovered ${recovered} of ${lost}`);
      check(asked <= 2, `the publisher was asked for ${asked} key frames`);
      check(seen.published.nack > 0, 'the publisher got no NACK');
    }
  } finally {
    await node.stop();
    await closePages(chromium, publishing);
  }
}

for (const direction of ['downlink', 'uplink']) {
  for (const percent of [5, 10]) {
    await suite.case(`${percent} % on the ${direction}`, (check, note) => lossy(check, note, percent, direction), { attempts: 3 });
  }
}

// Asking takes longer than sound can wait: what repairs it is that each packet repeats the one before (RED, RFC 2198).
await suite.case('10 % on the downlink of a viewer 75 ms away', async (check, note) => {
  // One worker, so that its port is known.
  const node = await Corecast.start('loss-far', ['--cores', '0']);
  const directory = mkdtempSync(path.join(tmpdir(), 'corecast-link-'));
  const script = path.join(directory, 'far.link');
  // The way back is whole, and the first seconds are: what is measured is the sound of one who plays.
  writeFileSync(script, '0s delay=75ms up.delay=75ms\n10s loss=10%\n');
  const to = `${PEER_IP}:19000`;
  const link = spawn(LOADTEST, ['link', '--listen', to, '--to', `${NODE_IP}:20000`, '--link', script, '--seconds', '120'], { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    const publisher = await Publisher.start(publishing, site.base, node, 'far', { codec: 'video/VP8', width: 640, height: 360, maxBitrate: 600_000 });
    const through = (sdp) => {
      const mended = sdp.replace(/^(a=candidate:\S+ 1 udp \d+) \S+ 20000 /gim, `$1 ${PEER_IP} 19000 `).replace(/^a=candidate:\S+ \d+ tcp .*\r?\n/gim, '');
      if (mended.includes(` ${NODE_IP} 2`) || !mended.includes(' 19000 ')) throw new Error(`a way past the link: ${mended}`);
      return mended;
    };
    const viewer = await (await Viewer.start(chromium, site.base, node, 'far', { answer: through })).playing();
    await sleep(13_000);
    const [seen] = await watch(publisher, [viewer], SECONDS);
    const concealed = seen.change.audioConcealed / seen.change.audioSamples;
    note({ sound: `${(100 * concealed).toFixed(2)} % of ${seen.change.audioSamples} samples concealed`, audio: `${seen.change.audioLost} of ${seen.change.audioPackets} packets lost`, viewer: summary(seen) });
    check(seen.change.lost > 15, `only ${seen.change.lost} packets were lost`);
    check(concealed <= CONCEALED_MAX, `${(100 * concealed).toFixed(2)} % of the sound was concealed`);
  } finally {
    link.kill();
    await node.stop();
    rmSync(directory, { recursive: true, force: true });
    await closePages(chromium, publishing);
  }
}, { attempts: 2 });

await Promise.all([chromium.close(), publishing.close()]);
site.close();
suite.finish();
