// Starts Chromium and Firefox from the system's packages and opens the test pages in them.

import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { artifact } from './artifacts.mjs';
import { opened } from './leftovers.mjs';

// The npm packages live outside the tree (see tests/run), where import does not look.
const cache = process.env.CORECAST_TEST_CACHE ?? path.join(homedir(), '.cache/corecast-tests');
const puppeteer = (() => {
  try {
    const loaded = createRequire(path.join(cache, 'browser/'))('puppeteer-core');
    return loaded.default ?? loaded;
  } catch (error) {
    throw new Error(`puppeteer-core is not in ${cache}/browser: run tests/run --setup (${error.message})`);
  }
})();

const CHROMIUM = process.env.CORECAST_CHROMIUM ?? '/usr/bin/chromium';
const CHROMIUM_FIRST = fileURLToPath(new URL('chromium-first.sh', import.meta.url));
const FIREFOX = process.env.CORECAST_FIREFOX ?? '/usr/bin/firefox-esr';
const CHROMIUM_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-extensions',
  '--autoplay-policy=no-user-gesture-required', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
  '--disable-background-timer-throttling', '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows',
  '--disable-features=WebRtcHideLocalIpsWithMdns,CalculateNativeWinOcclusion',
];

const TYPES = { '.html': 'text/html', '.js': 'text/javascript' };
const pages = path.join(path.dirname(fileURLToPath(import.meta.url)), '../pages');
const [examples, web] = ['examples', 'src/web'].map((directory) => fileURLToPath(new URL(`../../../${directory}`, import.meta.url)));

/** Serves tests/browser/pages, the examples and the SDK on a port of localhost, which browsers treat as a secure context. */
export async function servePages() {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const ofSdk = /^\/sdk(\/\w+)?\.js$/.test(pathname);
    const places = ofSdk ? [path.join(web, pathname)] : [pages, examples].map((directory) => path.join(directory, path.basename(pathname)));
    const file = places.find((each) => existsSync(each)) ?? '';
    if (!existsSync(file)) { response.writeHead(404).end(); return; }
    response.writeHead(200, { 'content-type': TYPES[path.extname(file)], 'cache-control': 'no-store' });
    response.end(readFileSync(file));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { base: `http://localhost:${server.address().port}`, close: () => server.close() };
}

export class Browser {
  /** `first`: ahead of the test's other processes, for publishers. `heard`: the environment that brings its sound to a `Listener`. */
  static async start(kind, { name = kind, flags = [], prefs = {}, first = false, heard = null } = {}) {
    const executablePath = kind === 'firefox' ? FIREFOX : first ? CHROMIUM_FIRST : CHROMIUM;
    if (!existsSync(executablePath)) throw new Error(`${executablePath} is missing: run tests/run --setup`);
    const browser = new Browser();
    Object.assign(browser, { kind, name, profile: mkdtempSync(path.join(tmpdir(), `corecast-${kind}-`)) });
    browser.handle = await puppeteer.launch({
      executablePath, browser: kind === 'firefox' ? 'firefox' : 'chrome', headless: true, acceptInsecureCerts: true,
      userDataDir: browser.profile, protocolTimeout: 180_000, timeout: 120_000, defaultViewport: null,
      ...(heard && { env: { ...process.env, ...heard }, ignoreDefaultArgs: ['--mute-audio'] }),
      ...(kind === 'firefox'
        ? { extraPrefsFirefox: {
          'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true, 'media.autoplay.default': 0, 'media.autoplay.blocking_policy': 0, 'app.update.enabled': false,
          'network.captive-portal-service.enabled': false, 'network.connectivity-service.enabled': false,
          'datareporting.policy.dataSubmissionEnabled': false, 'media.gmp-manager.updateEnabled': false, ...prefs,
        } }
        : { args: [...CHROMIUM_FLAGS, ...(heard ? [] : ['--mute-audio']), '--window-size=320,240', ...flags] }),
    });
    return browser;
  }

  /** Opens a page in a window of its own: a tab behind another would be throttled. */
  async open(url, name = 'page') {
    const page = this.kind === 'chromium'
      ? await this.handle.newPage({ type: 'window' })
      : await this.handle.newPage();
    const log = [];
    page.once('close', opened(name, () => page.close()));
    page.on('console', (message) => log.push(message.text()));
    page.on('pageerror', (error) => log.push(`error: ${error.message}`));
    page.setDefaultTimeout(60_000);
    for (let attempt = 1; ; attempt++) {
      try {
        await page.goto(url, { waitUntil: 'load' });
        break;
      } catch (error) {
        // Where a case before has changed the address, Chromium tells of it seconds later, and gives up what it is loading then.
        if (attempt === 5 || !/ERR_NETWORK_CHANGED/.test(error.message)) throw error;
      }
    }
    return Object.assign(page, { log, name });
  }

  /** The browser's own processes whose command line matches. */
  processes(pattern) {
    const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
      try {
        const parent = Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${name}/stat`, 'latin1'))[1]);
        return [{ pid: Number(name), parent, line: readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ') }];
      } catch {
        return []; // it ended meanwhile
      }
    });
    const ours = new Set([this.handle.process().pid]);
    for (let before = 0; before !== ours.size;) {
      before = ours.size;
      for (const { pid, parent } of all) if (ours.has(parent)) ours.add(pid);
    }
    return all.filter(({ pid, line }) => ours.has(pid) && pattern.test(line)).map(({ pid }) => pid);
  }

  async close() {
    await Promise.race([this.handle.close().catch(() => {}), sleep(20_000, undefined, { ref: false })]);
    const child = this.handle.process();
    if (child && child.exitCode === null) child.kill('SIGKILL');
    try {
      rmSync(this.profile, { recursive: true, force: true, maxRetries: 10 });
    } catch (error) {
      // Processes of it that live a moment longer may still write there: no failure of what was tested.
      console.log(`    ${this.profile} stays: ${error.message}`);
    }
  }
}

/** Closes the test's own pages: one that stays open goes on drawing and encoding beside the next case. */
export async function closePages(...browsers) {
  for (const browser of browsers) {
    for (const page of await browser.handle.pages()) if (/localhost/.test(page.url())) await page.close();
  }
}

/** A call of the page's own `window.probe`. */
const call = (page, method, ...values) =>
  page.evaluate((name, list) => window.probe[name](...list), method, values);

/** Waits until `check` gives something; a machine that stood still meanwhile gets one look more. */
export async function until(what, check, { within = 30_000, every = 100 } = {}) {
  for (const deadline = Date.now() + within; ;) {
    const isLast = Date.now() >= deadline;
    const found = await check();
    if (found) return found;
    if (isLast) break;
    await sleep(every);
  }
  throw new Error(`${what}: not within ${within} ms`);
}

/** One end of a stream in a browser page. */
class End {
  constructor(page, node, session) { Object.assign(this, { page, node, session }); }
  stats() { return call(this.page, 'stats'); }

  async connected() {
    let stats;
    try {
      await until('connected', async () => { stats = await this.stats(); return stats.state === 'connected'; });
    } catch (error) {
      throw new Error(`${this.page.name}: ${error.message}: ${JSON.stringify(stats)}\n${this.page.log.join('\n')}\n${this.node.tail()}`);
    }
    return this;
  }

  screenshot(name) { return this.page.screenshot({ path: artifact(name) }); }

  /** Ends the session as the protocol says, then the page. */
  async leave() {
    await call(this.page, 'close');
    await this.node.delete(this.session);
    await this.page.close();
  }

  /** Ends the page and says nothing, as a crash would. */
  vanish() { return this.page.close(); }
}

export class Publisher extends End {
  static async start(browser, base, node, stream, options = {}) {
    const page = await browser.open(`${base}/source.html`, `publisher of ${stream}`);
    await page.waitForFunction(() => window.probe?.ready);
    const session = await node.whip(stream, await call(page, 'offer', options));
    await call(page, 'accept', session.sdp);
    return new Publisher(page, node, session).connected();
  }
}

export class Viewer extends End {
  /** `answer`: what becomes of the node's answer on its way to the page. */
  static async start(browser, base, node, stream, { name = `viewer of ${stream}`, sound = true, answer = (sdp) => sdp } = {}) {
    const page = await browser.open(`${base}/viewer.html`, name);
    await page.waitForFunction(() => window.probe?.ready);
    const session = await node.whep(stream, await call(page, 'offer', { sound }));
    await call(page, 'accept', answer(session.sdp));
    return new Viewer(page, node, session).connected();
  }

  /**
   * Opens a page that has made its offer; what it returns sends it. So what is timed begins with the request. `gathered` is told
   * the page's UDP ports before.
   */
  static async ready(browser, base, node, stream, { name = `viewer of ${stream}`, sound = true, gathered } = {}) {
    const page = await browser.open(`${base}/viewer.html`, name);
    await page.waitForFunction(() => window.probe?.ready);
    const offer = await call(page, 'offer', { sound, gather: Boolean(gathered) });
    gathered?.([...new Set([...offer.matchAll(/^a=candidate:\S+ \d+ udp \d+ \S+ (\d+) /gim)].map(([, port]) => Number(port)))]);
    return async () => {
      const session = await node.whep(stream, offer);
      await call(page, 'accept', session.sdp);
      return new Viewer(page, node, session).connected();
    };
  }

  take() { return call(this.page, 'take'); }

  async playing(within = 30_000) {
    let stats;
    await until(`${this.page.name}: first frame`, async () => {
      stats = await this.stats();
      return stats.framesDecoded > 0;
    }, { within }).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(stats)}\n${this.page.log.join('\n')}\n${this.node.tail()}`);
    });
    return this;
  }
}

export { call };
