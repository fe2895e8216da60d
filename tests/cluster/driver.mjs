// Browsers of a client's machine, driven by lines of JSON on stdin: `{ "id": 1, "do": "watch", … }` is answered by
// `{ "id": 1, "value": … }` or `{ "id": 1, "error": … }` on stdout, in whatever order things are done. One process of each browser
// (of Firefox one per page), and a page for each end of a stream. `clients.py` is the other side.

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { artifact } from '../browser/lib/artifacts.mjs';
import { Browser, Publisher, Viewer, call, servePages, until } from '../browser/lib/browsers.mjs';
import { request } from '../browser/lib/corecast.mjs';
import { barcode } from '../browser/lib/rekeying.mjs';

const FRAMES_PER_SECOND = 30;
const site = await servePages();
const browsers = new Map();
const ends = new Map();
const starting = new Set();

// What is told goes to stderr: stdout is for answers.
console.log = console.error;

/**
 * The browser of a kind, which is started when it is wanted first. Firefox shows nothing in a tab behind another: there each page
 * has a process of its own, which the next one takes over.
 */
function browser(kind, first = false) {
  const taken = new Set([...ends.values(), ...starting].map(({ key }) => key));
  let key = `${kind} ${first}`;
  for (let number = 1; kind === 'firefox' && taken.has(key); number++) key = `${kind} ${first} ${number}`;
  if (!browsers.has(key)) browsers.set(key, Browser.start(kind, { first }));
  return { key, started: browsers.get(key) };
}

/** Opens an end in a browser: `open(browser)` gives it. One that fails leaves no page, which would go on drawing. */
async function begin(as, kind, first, open) {
  const { key, started } = browser(kind, first);
  const mark = { key };
  starting.add(mark);
  const pages = [];
  try {
    const opened = await started;
    const end = await open({
      async open(...how) {
        pages.push(await opened.open(...how));
        return pages.at(-1);
      },
    });
    ends.set(as, Object.assign(end, { key }));
    return end;
  } catch (error) {
    for (const page of pages) await page.close().catch(() => {});
    throw error;
  } finally {
    starting.delete(mark);
  }
}

/** A node as `lib/browsers.mjs` wants one: only its URL is known. */
class Node {
  constructor(url) { this.url = url; }
  whip(stream, offer) { return this.#post('whip', stream, offer); }
  whep(stream, offer) { return this.#post('whep', stream, offer); }
  delete(session) { return request('DELETE', session.location); }
  tail() { return `at ${this.url}`; }

  async #post(kind, stream, sdp) {
    const headers = { 'content-type': 'application/sdp' };
    const answer = await request('POST', `${this.url}/${kind}/${stream}`, { body: sdp, headers });
    if (answer.status !== 201) throw new Error(`POST ${this.url}/${kind}/${stream}: ${answer.status} ${answer.text}`);
    return { sdp: answer.text, location: new URL(answer.headers.location, answer.url).href };
  }
}

/** In a page of the node: watches by the SDK and writes down every frame that is shown, as pages/viewer.js does. */
function watchBySdk({ stream, transport }) {
  const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
  video.style.cssText = 'width:160px;height:120px';
  document.body.replaceChildren(video);
  const probe = (window.probe = { frames: [], events: [], stalls: [] });
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    if (now - last > 80) probe.stalls.push([last, now].map((at) => performance.timeOrigin + at));
    last = now;
  }, 20);
  const follow = (element) => {
    const shown = async (now, { expectedDisplayTime, receiveTime, width }) => {
      element.requestVideoFrameCallback(shown);
      probe.firstFrameAt ??= performance.now();
      let picture;
      try { picture = new VideoFrame(element, { timestamp: 0 }); } catch { return; }
      const seen = [-1, expectedDisplayTime, 0, width, receiveTime ?? null];
      probe.frames.push(seen);
      const code = await window.readVideoFrame(picture, { bytes: new Uint8Array(0) }).catch(() => null);
      const shownAt = Math.floor(performance.timeOrigin + expectedDisplayTime) % 2 ** 32;
      if (code) [seen[0], seen[2]] = [code.frame, shownAt - code.timeMs];
      picture.close();
    };
    element.requestVideoFrameCallback(shown);
  };
  follow(video);
  // The SDK lays an element of its own over the page's while it changes connections.
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) if (node.nodeName === 'VIDEO') follow(node);
  }).observe(document.body, { childList: true });
  probe.take = () => {
    const [origin, now] = [performance.timeOrigin, performance.now()];
    const taken = { origin, now, frames: probe.frames, stalls: probe.stalls.splice(0) };
    probe.frames = [];
    return taken;
  };
  probe.stats = async () => {
    const out = { state: window.session.pc?.connectionState };
    for (const entry of (await window.session.pc?.getStats())?.values() ?? []) {
      if (entry.type !== 'inbound-rtp' || entry.kind !== 'video') continue;
      Object.assign(out, {
        packets: entry.packetsReceived, lost: entry.packetsLost, nack: entry.nackCount, pli: entry.pliCount,
        retransmitted: entry.retransmittedPacketsReceived, keyFrames: entry.keyFramesDecoded, framesDecoded: entry.framesDecoded,
        freezes: entry.freezeCount, jitterBufferMs: (1_000 * entry.jitterBufferDelay) / entry.jitterBufferEmittedCount,
      });
    }
    return out;
  };
  return import('/sdk.js').then(({ Viewer: SdkViewer }) => {
    window.session = new SdkViewer({ stream, transport, fitToElement: false });
    const now = () => performance.timeOrigin + performance.now();
    const events = ['connected', 'disconnected', 'reconnecting', 'restarted', 'migrated', 'ended', 'error', 'live', 'idle'];
    for (const event of events) {
      window.session.addEventListener(event, ({ detail }) => probe.events.push([now(), event, detail?.error?.code]));
    }
    return window.session.attach(video);
  });
}

/** A viewer that uses the SDK, with the methods of `Viewer`. */
class SdkViewer {
  constructor(page) { this.page = page; }

  static async start(opened, url, stream, transport, name) {
    const page = await opened.open(`${url}/`, name);
    await page.evaluate(barcode);
    await page.evaluate(watchBySdk, { stream, transport });
    return new SdkViewer(page);
  }

  take() { return call(this.page, 'take'); }
  stats() { return call(this.page, 'stats'); }
  screenshot(name) { return this.page.screenshot({ path: artifact(name) }); }
  async leave() { await this.page.evaluate(() => window.session.close()); await this.page.close(); }
  vanish() { return this.page.close(); }
}

const commands = {
  async publish({ as, kind, url, stream, ...options }) {
    // Numbered by the clock: whoever publishes next goes on where this one ended.
    const firstFrame = Math.floor((Date.now() * FRAMES_PER_SECOND) / 1_000) % 2 ** 24;
    const publisher = await begin(as, kind, true, (opened) => (
      Publisher.start(opened, site.base, new Node(url), stream, { firstFrame, fps: FRAMES_PER_SECOND, ...options })));
    await until('frames are sent', async () => (await publisher.stats()).framesSent > 0);
    return { location: publisher.session.location };
  },

  async watch({ as, kind, url, stream, way }) {
    let askedAt;
    const viewer = await begin(as, kind, false, (opened) => {
      askedAt = Date.now();
      return way === 'whep'
        ? Viewer.start(opened, site.base, new Node(url), stream, { name: as, sound: false })
        : SdkViewer.start(opened, url, stream, way, as);
    });
    return { askedAt, location: viewer.session?.location };
  },

  /** How long after it was asked for the first frame was shown. */
  async first({ as, askedAt, within = 30_000 }) {
    const { page } = ends.get(as);
    let at;
    await until(`${as}: first frame`, async () => {
      at = await page.evaluate(() => window.probe.firstFrameAt && performance.timeOrigin + window.probe.firstFrameAt);
      return at;
    }, { within }).catch((error) => { throw new Error(`${error.message}: ${page.log.join('\n')}`); });
    return at - askedAt;
  },

  take: ({ as }) => ends.get(as).take(),
  stats: ({ as }) => ends.get(as).stats(),
  events: ({ as }) => ends.get(as).page.evaluate(() => window.probe.events ?? []),
  takeStalls: ({ as }) => call(ends.get(as).page, 'takeStalls'),
  screenshot: ({ as, file }) => ends.get(as).screenshot(file),

  /** Ends as a person does who leaves (`leave`), or as one whose machine is switched off (`vanish`). */
  async leave({ as, how = 'leave' }) {
    const end = ends.get(as);
    ends.delete(as);
    const gone = end[how]().catch((error) => {
      console.error(`${as}: ${error.message}`);
      return end.page.close().catch(() => {});
    });
    await Promise.race([gone, sleep(10_000)]);
  },
};

const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: what, ...how } = JSON.parse(line);
  const failed = (error) => tell({ id, error: error.stack ?? String(error) });
  Promise.resolve(how).then(commands[what]).then((value) => tell({ id, value: value ?? null }), failed);
}
await Promise.all([...browsers.values()].map(async (each) => (await each).close().catch(() => {})));
site.close();
process.exit(0);
