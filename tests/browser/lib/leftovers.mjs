// What a case has opened and not closed. An attempt that fails half-way must not hand its node or its pages to the next:
// a node that is left running answers in place of the next one, and a page that is left open publishes to it.

const open = new Map();

/** Something that is open from now on; gives what is to be called when it is closed. */
export function opened(name, close) {
  const key = Symbol(name);
  open.set(key, { name, close });
  return () => open.delete(key);
}

/** What is open. */
export const mark = () => new Set(open.keys());

/** Closes what was opened since `mark`, the newest first; gives the names. */
export async function closeSince(before) {
  const left = [...open].filter(([key]) => !before.has(key)).reverse();
  for (const [key, { close }] of left) {
    await close().catch(() => {});
    open.delete(key);
  }
  return left.map(([, { name }]) => name);
}
