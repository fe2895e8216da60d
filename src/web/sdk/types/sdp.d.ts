/**
 * Where Chromium's bandwidth estimate starts. Left to itself it starts at 300 kbit/s, at which a 720p camera is sent as
 * 320 × 180 until the estimate has grown. The parameter goes into the *remote* description, for every video codec;
 * other browsers ignore it.
 *
 * @param {string} answer
 * @param {number} kbps kbit/s
 * @returns {string}
 */
export function withStartBitrate(answer: string, kbps: number): string;
/**
 * Asks for stereo sound, which Opus sends only to who says that it wants it (RFC 7587 §7).
 *
 * @param {string} sdp
 * @returns {string}
 */
export function withStereo(sdp: string): string;
/**
 * What an ICE restart sends (RFC 8840 §9, RFC 9725 §4.3.3): the new credentials of the section that has the transport.
 *
 * @param {string} offer
 * @returns {string} application/trickle-ice-sdpfrag
 */
export function restartFragment(offer: string): string;
/**
 * The answer that goes with a restart: the one in force, with the node's new credentials, and with its new candidates
 * where the fragment names some.
 *
 * @param {string} answer
 * @param {string} fragment
 * @returns {string}
 */
export function restartedAnswer(answer: string, fragment: string): string;
/**
 * ICE servers out of a Link header (RFC 9725 §4.6).
 *
 * @param {string | null} header
 * @returns {RTCIceServer[]}
 */
export function iceServers(header: string | null): RTCIceServer[];
export function startBitrate(maxBitrate: number): number;
