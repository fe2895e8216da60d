export type CaptureOptions = {
    /**
     * false: none; true: the system's choice; a string: that `deviceId`. True
     */
    camera?: boolean | string;
    /**
     * the same for sound. True
     */
    microphone?: boolean | string;
    /**
     * in pixels, as near as the camera can; 1280
     */
    width?: number;
    /**
     * 720
     */
    height?: number;
    /**
     * 30
     */
    frameRate?: number;
};
export type DeviceList = {
    cameras: MediaDeviceInfo[];
    microphones: MediaDeviceInfo[];
    speakers: MediaDeviceInfo[];
};
/**
 * The devices. Labels are empty until the user has allowed a capture once, so list them again after the first one.
 *
 * @returns {Promise<DeviceList>}
 */
export declare function devices(): Promise<DeviceList>;
/**
 * Calls back when a device is added or removed. Returns a function that stops this.
 *
 * @param {() => void} listener
 * @returns {() => void}
 */
export declare function onDevicesChanged(listener: () => void): () => void;
/**
 * Captures camera and microphone. If there is no microphone, the result has only the picture, unless a microphone was
 * asked for by its id: missing sound is no reason to send no picture.
 *
 * @param {CaptureOptions} [options]
 * @returns {Promise<MediaStream>}
 */
export declare function capture(options?: CaptureOptions): Promise<MediaStream>;
/**
 * Captures a screen, a window or a tab, as the user chooses, with its sound if the browser can (`audio`, true).
 *
 * @param {{ audio?: boolean, frameRate?: number }} [options]
 * @returns {Promise<MediaStream>}
 */
export declare function captureScreen({ audio, frameRate }?: {
    audio?: boolean;
    frameRate?: number;
}): Promise<MediaStream>;
