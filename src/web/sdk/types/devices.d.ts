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
 * What there is. Labels are empty until the person has allowed a capture once: list again after the first one.
 *
 * @returns {Promise<DeviceList>}
 */
export declare function devices(): Promise<DeviceList>;
/**
 * Calls back when a device comes or goes. What it returns stops that.
 *
 * @param {() => void} listener
 * @returns {() => void}
 */
export declare function onDevicesChanged(listener: () => void): () => void;
/**
 * Camera and microphone. Without a microphone the picture alone is given, unless one was asked for by its id: no sound
 * is no reason not to be seen.
 *
 * @param {CaptureOptions} [options]
 * @returns {Promise<MediaStream>}
 */
export declare function capture(options?: CaptureOptions): Promise<MediaStream>;
/**
 * A screen, a window or a tab, as the person chooses; with its sound where the browser can (`audio`, true).
 *
 * @param {{ audio?: boolean, frameRate?: number }} [options]
 * @returns {Promise<MediaStream>}
 */
export declare function captureScreen({ audio, frameRate }?: {
    audio?: boolean;
    frameRate?: number;
}): Promise<MediaStream>;
