// Turns what a viewer wrote down into figures, and figures into a verdict.

const percentile = (sorted, share) => sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] : NaN;

/** Offsets between each flag and the beep nearest to it, in milliseconds; positive: sound is late. */
export function avOffsets(flags, beeps) {
  return flags.flatMap((flag) => {
    const nearest = beeps.reduce((best, beep) => (Math.abs(beep - flag) < Math.abs(best - flag) ? beep : best), Infinity);
    return Math.abs(nearest - flag) < 450 ? [nearest - flag] : [];
  }).sort((a, b) => Math.abs(a) - Math.abs(b));
}

/** Figures of a log taken with `probe.take()`. */
export function figures({ frames, flags, beeps }) {
  const readable = frames.filter(([number]) => number >= 0);
  const seen = new Set(readable.map(([number]) => number));
  let backwards = 0;
  let longestGapMs = 0;
  let before;
  for (const frame of readable) {
    if (before) {
      if (frame[0] < before[0]) backwards++;
      longestGapMs = Math.max(longestGapMs, frame[1] - before[1]);
    }
    before = frame;
  }
  const latencies = readable.map(([, , latency]) => latency).sort((a, b) => a - b);
  const av = avOffsets(flags, beeps);
  const round = (value) => Math.round(value * 10) / 10;
  return {
    frames: seen.size,
    unreadable: frames.length - readable.length,
    backwards,
    longestGapMs: round(longestGapMs),
    latencyP50Ms: round(percentile(latencies, 0.5)),
    latencyP95Ms: round(percentile(latencies, 0.95)),
    avPairs: av.length,
    avOffsetMs: round(percentile([...av].sort((a, b) => a - b), 0.5)),
    avWorstMs: round(av.at(-1) ?? NaN),
    // How far apart they are, the worst quarters left out: half of the middle half.
    avSpreadMs: round((percentile([...av].sort((a, b) => a - b), 0.75) - percentile([...av].sort((a, b) => a - b), 0.25)) / 2),
    widths: [...new Set(readable.map(([, , , width]) => width))],
  };
}

/** The change of every numeric figure between two snapshots of statistics. */
export function change(from, to) {
  return Object.fromEntries(Object.keys(to).filter((key) => typeof to[key] === 'number')
    .map((key) => [key, to[key] - (from[key] ?? 0)]));
}
