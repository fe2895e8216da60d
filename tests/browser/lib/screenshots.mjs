// Pictures of a page in both themes, on a desk and on a phone; a page that is wider than its window fails.

import { artifact } from './artifacts.mjs';
import { until } from './browsers.mjs';

/** `prepare` is called before each picture. */
export async function screenshots(page, name, { prepare = () => {}, fullPage = false } = {}) {
  for (const theme of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
    for (const [kind, viewport] of [['desktop', { width: 1280, height: 800 }], ['phone', { width: 390, height: 844, deviceScaleFactor: 2 }]]) {
      await page.setViewport(viewport);
      // The page is laid out anew some time after the window has its size.
      let size;
      await until('laid out', async () => {
        size = await page.evaluate(() => ({ window: window.innerWidth, page: document.documentElement.scrollWidth }));
        return size.window === viewport.width && size.page <= size.window;
      }, { within: 20_000, every: 50 }).catch(() => {});
      await prepare();
      await page.screenshot({ path: artifact(`page-${name}-${theme}-${kind}.png`), fullPage });
      if (size.window !== viewport.width || size.page > size.window) throw new Error(`${name} at ${viewport.width} pixels is ${size.page} pixels wide in a window of ${size.window}`);
    }
  }
  await page.setViewport({ width: 1280, height: 800 });
}
