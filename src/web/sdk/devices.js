// Cameras, microphones and screens.

import { CorecastError, fromCapture } from './errors.js';

/**
 * @typedef {object} CaptureOptions
 * @property {boolean | string} [camera] false: none; true: the system's choice; a string: that `deviceId`. True
 * @property {boolean | string} [microphone] the same for sound. True
 * @property {number} [width] in pixels, as near as the camera can; 1280
 * @property {number} [height] 720
 * @property {number} [frameRate] 30
 */

/**
 * @typedef {object} DeviceList
 * @property {MediaDeviceInfo[]} cameras
 * @property {MediaDeviceInfo[]} microphones
 * @property {MediaDeviceInfo[]} speakers
 */

function mediaDevices() {
  const found = globalThis.navigator?.mediaDevices;
  if (found) return found;
  throw globalThis.isSecureContext === false
    ? new CorecastError('insecure_context', 'This page was not loaded over https', { final: true })
    : new CorecastError('unsupported', 'This browser has no access to cameras', { final: true });
}

/**
 * The devices. Labels are empty until the user has allowed a capture once, so list them again after the first one.
 *
 * @returns {Promise<DeviceList>}
 */
export async function devices() {
  const all = await mediaDevices().enumerateDevices();
  /** @param {MediaDeviceKind} kind */
  const of = (kind) => all.filter((device) => device.kind === kind && device.deviceId !== '');
  return { cameras: of('videoinput'), microphones: of('audioinput'), speakers: of('audiooutput') };
}

/**
 * Calls back when a device is added or removed. Returns a function that stops this.
 *
 * @param {() => void} listener
 * @returns {() => void}
 */
export function onDevicesChanged(listener) {
  const target = mediaDevices();
  target.addEventListener('devicechange', listener);
  return () => target.removeEventListener('devicechange', listener);
}

/**
 * Captures camera and microphone. If there is no microphone, the result has only the picture, unless a microphone was
 * asked for by its id: missing sound is no reason to send no picture.
 *
 * @param {CaptureOptions} [options]
 * @returns {Promise<MediaStream>}
 */
export async function capture(options = {}) {
  const { camera = true, microphone = true, width = 1280, height = 720, frameRate = 30 } = options;
  /** @param {boolean | string} wanted */
  const device = (wanted) => (typeof wanted === 'string' ? { deviceId: { exact: wanted } } : {});
  const video = camera !== false && { ...device(camera), width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } };
  const audio = microphone !== false && device(microphone);
  const target = mediaDevices();
  try {
    return await target.getUserMedia({ video, audio });
  } catch (error) {
    const alone = error instanceof DOMException && error.name === 'NotFoundError' && video && microphone === true;
    if (!alone) throw fromCapture(error, video ? 'camera' : 'microphone');
    return target.getUserMedia({ video }).catch((again) => { throw fromCapture(again, 'camera'); });
  }
}

/**
 * Captures a screen, a window or a tab, as the user chooses, with its sound if the browser can (`audio`, true).
 *
 * @param {{ audio?: boolean, frameRate?: number }} [options]
 * @returns {Promise<MediaStream>}
 */
export async function captureScreen({ audio = true, frameRate = 30 } = {}) {
  const target = mediaDevices();
  if (!target.getDisplayMedia) throw new CorecastError('unsupported', 'This browser cannot share a screen', { hint: 'Use a browser on a computer.', final: true });
  try {
    const media = await target.getDisplayMedia({ video: { frameRate: { ideal: frameRate } }, audio });
    // Text must stay readable, so a lower frame rate is better than a lower resolution.
    for (const track of media.getVideoTracks()) track.contentHint = 'detail';
    return media;
  } catch (error) {
    throw fromCapture(error, 'screen');
  }
}
