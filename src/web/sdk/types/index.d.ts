export { CorecastError } from './errors.js';
export { Channel } from './channel.js';
export { Publisher } from './publisher.js';
export { Viewer } from './viewer.js';
export { capture, captureScreen, devices, onDevicesChanged } from './devices.js';
export { sendableCodecs } from './codecs.js';
export type SessionOptions = import('./session.js').SessionOptions;
export type SessionState = import('./session.js').SessionState;
export type SessionEvents = import('./session.js').SessionEvents;
export type PublisherOptions = import('./publisher.js').PublisherOptions;
export type PublisherEvents = import('./publisher.js').PublisherEvents;
export type ViewerOptions = import('./viewer.js').ViewerOptions;
export type ViewerEvents = import('./viewer.js').ViewerEvents;
export type Layer = import('./layers.js').Layer;
export type Layers = import('./layers.js').Layers;
export type LayerChoice = import('./layers.js').LayerChoice;
export type ChannelOptions = import('./channel.js').ChannelOptions;
export type Stats = import('./stats.js').Stats;
export type CaptureOptions = import('./devices.js').CaptureOptions;
export type DeviceList = import('./devices.js').DeviceList;
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
