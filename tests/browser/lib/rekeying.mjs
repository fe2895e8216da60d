// What the tests of keys that change share: a viewer's page that writes down every frame that can be seen, whichever element shows it.

import { readFileSync } from 'node:fs';

/** The reader of numbered frames as a script for a page of the node, whose policy lets it load none. */
export const barcode = `(() => { ${readFileSync(new URL('../pages/barcode.js', import.meta.url), 'utf8').replaceAll('export ', '')}; window.readVideoFrame = readVideoFrame; })()`;

/** Begins to watch, and to write down every frame that can be seen: of the SDK's own element while it lies over the page's. */
export function watch({ stream, transport, muted = true, keyLifetimeS }) {
  const video = Object.assign(document.createElement('video'), { muted, playsInline: true });
  video.style.cssText = 'width:320px;height:180px';
  document.body.prepend(video);
  const probe = (window.probe = { frames: [], overlays: 0, rekeyed: 0, failed: [], changes: [] });
  const follow = (element) => {
    let before = null;
    const shown = async (now, { expectedDisplayTime, width, presentedFrames }) => {
      element.requestVideoFrameCallback(shown);
      // Not every frame that is presented has its call: the browser says how many had none.
      const uncalled = before === null ? 0 : presentedFrames - before - 1;
      before = presentedFrames;
      const over = [...document.querySelectorAll('video')].find((each) => each !== video && each.style.visibility === 'visible');
      if (over ? element !== over : element !== video) return;
      let picture;
      try { picture = new VideoFrame(element, { timestamp: 0 }); } catch { return; }
      // In the order in which they were shown: one may take longer to be read than the next, and two may be read at once.
      const seen = [-1, expectedDisplayTime, element === video ? 0 : 1, width, uncalled];
      probe.frames.push(seen);
      seen[0] = (await window.readVideoFrame(picture, { bytes: new Uint8Array(0) }).catch(() => null))?.frame ?? -1;
      picture.close();
    };
    element.requestVideoFrameCallback(shown);
  };
  follow(video);
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) if (node.nodeName === 'VIDEO') { probe.overlays += 1; follow(node); }
  }).observe(document.body, { childList: true });
  return import('/sdk.js').then(({ Viewer }) => {
    window.session = new Viewer({ stream, transport, keyLifetimeS });
    let beganMs;
    window.session.on('peer', () => { beganMs = performance.now(); });
    window.session.on('rekeyed', () => {
      probe.rekeyed += 1;
      probe.changes.push([beganMs, performance.now()]);
    });
    window.session.on('rekeyfailed', ({ detail }) => { probe.failed.push(`${detail.error.code}: ${detail.error.message}`); });
    return window.session.attach(video);
  });
}

/** The session's entry in the node's report. */
export async function sessionOf(node, of = 'play') {
  return (await node.workers()).flatMap(({ sessions }) => sessions).find(({ direction }) => direction === of);
}
