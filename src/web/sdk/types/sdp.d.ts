/**
 * Where Chromium's bandwidth estimate starts. Left to itself it starts at 300 kbit/s, at which a 720p camera is sent as
 * 320 × 180 until the estimate has grown: 16.2 s to full size in each of three starts (Chromium 156, H.264, at most
 * 2.5 Mbit/s, loopback, a busy machine). With half of the most it is full size at once (2 of 4 starts), or 960 × 540 at
 * once and full size after 6.2 s; 60 to 80 % of the most did no better. The parameter goes into the *remote* description,
 * for every video codec; other browsers ignore it.
 *
 * @param {string} answer
 * @param {number} kbps kbit/s
 * @returns {string}
 */
export declare function withStartBitrate(answer: string, kbps: number): string;
/**
 * Says of an offer's second picture that it is the first one in another codec. Without that a node takes it for another camera.
 *
 * @param {string} offer
 * @returns {string}
 */
export declare function withTwin(offer: string): string;
/**
 * Offers feedback on request for a viewer's picture. Chromium gives it where only the answer has it, and does not offer it; with
 * Firefox such an answer fails, so that its offers are left alone.
 *
 * @param {string} offer
 * @returns {string}
 */
export declare function withFeedbackOnRequest(offer: string): string;
/**
 * Half of the maximum bitrate, within what networks usually carry: 300 to 2,500 kbit/s.
 *
 * @param {number} maxBitrate bit/s
 * @returns {number} kbit/s
 */
export declare const startBitrate: (maxBitrate: number) => number;
/**
 * The fragment for an ICE restart (RFC 8840 §9, RFC 9725 §4.3.3): the new credentials of the section with the transport.
 *
 * @param {string} offer
 * @returns {string} application/trickle-ice-sdpfrag
 */
export declare function restartFragment(offer: string): string;
/**
 * The answer after a restart: the present one with the node's new credentials, and with its new candidates
 * if the fragment has any.
 *
 * @param {string} answer
 * @param {string} fragment
 * @returns {string}
 */
export declare function restartedAnswer(answer: string, fragment: string): string;
/**
 * Parses the ICE servers in a Link header (RFC 9725 §4.6).
 *
 * @param {string | null} header
 * @returns {RTCIceServer[]}
 */
export declare function iceServers(header: string | null): RTCIceServer[];
/** The target of the first link with this relation. @param {string | null} header @param {string} rel @returns {string | undefined} */
export declare function linked(header: string | null, rel: string): string | undefined;
