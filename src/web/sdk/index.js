// The SDK of Corecast: `Publisher` sends a MediaStream to a node, `Viewer` plays a stream in a <video>.
//
//   import { Publisher, Viewer, capture } from 'https://node.example/sdk.js';
//
//   const publisher = new Publisher({ url: 'https://node.example', stream: 'demo', token });
//   await publisher.start(await capture({ width: 1280, height: 720 }));
//
//   const viewer = new Viewer({ url: 'https://node.example', stream: 'demo', token });
//   await viewer.attach(document.querySelector('video'));
//
//   const captions = publisher.channel('captions', { retain: true });   // before start()
//   viewer.on('message', ({ detail: { label, data } }) => { … });       // before attach()
//
// No dependency and no build step: ES modules as they lie here, typed by JSDoc; `types/` is made from it by tsc.
//
// Left out: trickle ICE (the node is ICE-lite: it answers checks from anywhere, so telling it this browser's candidates gains
// nothing).

export { CorecastError } from './errors.js';
export { Channel } from './channel.js';
export { Publisher } from './publisher.js';
export { Viewer } from './viewer.js';
export { capture, captureScreen, devices, onDevicesChanged } from './devices.js';
export { sendableCodecs } from './codecs.js';

/**
 * @typedef {import('./session.js').SessionOptions} SessionOptions
 * @typedef {import('./session.js').SessionState} SessionState
 * @typedef {import('./session.js').SessionEvents} SessionEvents
 * @typedef {import('./publisher.js').PublisherOptions} PublisherOptions
 * @typedef {import('./publisher.js').PublisherEvents} PublisherEvents
 * @typedef {import('./viewer.js').ViewerOptions} ViewerOptions
 * @typedef {import('./viewer.js').ViewerEvents} ViewerEvents
 * @typedef {import('./layers.js').Layer} Layer
 * @typedef {import('./layers.js').Layers} Layers
 * @typedef {import('./layers.js').LayerChoice} LayerChoice
 * @typedef {import('./channel.js').ChannelOptions} ChannelOptions
 * @typedef {import('./stats.js').Stats} Stats
 * @typedef {import('./devices.js').CaptureOptions} CaptureOptions
 * @typedef {import('./devices.js').DeviceList} DeviceList
 */
