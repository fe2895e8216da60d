// Single packets are dropped at random on the wire, first towards a viewer, then from the publisher: retransmission
// repairs it, and nobody sees a freeze. Offloads are off, so that what is dropped is one packet and not a train.

import { setTimeout as sleep } from 'node:timers/promises';
import { disableOffloads, enter, startLoss } from './lib/netns.mjs';
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
const SECONDS = 20;

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

await Promise.all([chromium.close(), publishing.close()]);
site.close();
suite.finish();
