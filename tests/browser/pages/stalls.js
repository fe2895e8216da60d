// Notes when this page was not let run: what it did not see or draw meanwhile is no fault of the node's.

const TICK_MS = 20;
const STALL_MS = 80;

/** A list that grows by `[from, to]`, in milliseconds since the epoch. */
export function watchStalls() {
  const stalls = [];
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    if (now - last > STALL_MS) stalls.push([last, now].map((at) => performance.timeOrigin + at));
    last = now;
  }, TICK_MS);
  return stalls;
}
