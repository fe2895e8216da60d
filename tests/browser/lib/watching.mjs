// The part all broadcasts share: let it settle, watch for a while, judge.

import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './browsers.mjs';
import { change, figures } from './judge.mjs';
import { overruns } from './netns.mjs';

const SETTLE_MS = 5_000;

/** Waits until the publisher sends at `mbps`; says after how many seconds. */
export async function reachesBitrate(publisher, mbps = 1.5, within = 40_000) {
  const from = Date.now();
  let before = await publisher.stats();
  let rate = 0;
  await until('bitrate', async () => {
    await sleep(900);
    const now = await publisher.stats();
    rate = (8 * (now.bytes - before.bytes)) / (now.at - before.at) / 1_000;
    before = now;
    return rate >= mbps;
  }, { within }).catch(() => {
    throw new Error(`the publisher sends ${rate.toFixed(2)} Mbit/s after ${within / 1_000} s: ${JSON.stringify(before)}`);
  });
  return { seconds: (Date.now() - from) / 1_000, mbps: Math.round(rate * 100) / 100 };
}

/**
 * Lets things settle, then watches for `seconds`; `begun` is called as the watching begins. Returns per viewer: its
 * figures, the change of its statistics, and the frames sent meanwhile.
 */
export async function watch(publisher, viewers, seconds, begun = () => {}) {
  const overrunBefore = overruns();
  // Starting three decoders on two cores fills jitter buffers; they and the sound's delay settle over some seconds.
  await sleep(SETTLE_MS);
  const before = await Promise.all(viewers.map(async (viewer) => {
    await viewer.take();
    return { viewer: await viewer.stats(), publisher: await publisher.stats() };
  }));
  begun();
  await sleep(seconds * 1_000);
  return Promise.all(viewers.map(async (viewer, index) => {
    // In this order: what is sent while a busy machine turns from one page to the other is not asked of the viewer.
    const sent = await publisher.stats();
    const log = await viewer.take();
    const stats = await viewer.stats();
    const published = change(before[index].publisher, sent);
    return {
      name: viewer.page.name, ...figures(log), sent: published.framesSent, published,
      change: change(before[index].viewer, stats), stats, skipped: published.skipped,
      overrun: overruns() - overrunBefore,
    };
  }));
}

/** One line of figures for the table. */
export const summary = (seen) => ({
  frames: `${seen.frames}/${seen.sent}`, gapMs: seen.longestGapMs, latencyMs: `p50 ${seen.latencyP50Ms} p95 ${seen.latencyP95Ms}`,
  avMs: `${seen.avOffsetMs} (worst ${seen.avWorstMs}, spread ${seen.avSpreadMs}, ${seen.avPairs} pairs)`, lost: seen.change.lost, overrun: seen.overrun, nack: seen.change.nack,
  rtx: seen.change.retransmitted, pli: seen.change.pli, firstFrameMs: Math.round(seen.stats.timeToFirstFrameMs),
  jitterMs: Math.round(seen.stats.jitterBufferMs), dtls: seen.stats.dtls, srtp: seen.stats.srtp,
});

/** What every viewer must have seen. */
export function judgePicture(check, seen, { share = 0.95, gapMs = 500 } = {}) {
  const who = seen.name;
  check(seen.sent > 0, `${who}: the publisher sent no frame (${JSON.stringify(seen.published)})`);
  check(seen.frames >= share * seen.sent, `${who}: read ${seen.frames} of ${seen.sent} frames sent (${seen.change.framesDecoded} decoded, source skipped ${seen.skipped})`);
  check(seen.unreadable <= 0.01 * seen.frames, `${who}: ${seen.unreadable} frames with a broken picture`);
  check(seen.backwards === 0, `${who}: ${seen.backwards} frames out of order`);
  check(seen.longestGapMs <= gapMs, `${who}: a freeze of ${seen.longestGapMs} ms`);
  check(!seen.stats.error, `${who}: ${seen.stats.error}`);
}

/**
 * Sound and picture together. A node that is wrong about their times shifts every beep alike; a machine that is held up moves
 * some. So the limit grows with what the beeps differ among themselves, by no more than leaves 200 ms outside. A
 * small picture is there sooner: beside one of 640 sound in time measures 50 to 80 ms late, without any node as well ("late
 * sound" of measuring.test.mjs finds 200 ms to be 250 to 270); beside one of 1,280 it measures 10 to 50.
 */
export function judgeSync(check, seen, seconds, limitMs = seen.widths.every((width) => width <= 640) ? 120 : 80) {
  check(seen.avPairs >= seconds - 4, `${seen.name}: ${seen.avPairs} beeps matched in ${seconds} s`);
  const allowedMs = limitMs + Math.min(seen.avSpreadMs, 80);
  check(Math.abs(seen.avOffsetMs) <= allowedMs, `${seen.name}: sound is off by ${seen.avOffsetMs} ms (worst ${seen.avWorstMs}, allowed ${allowedMs})`);
}
