export type Direction = 'publish' | 'play';
export type Token = string | (() => string | Promise<string>);
export type Notices = {
    /**
     * the session is over
     */
    ended: (reason: string, detail: string) => void;
    /**
     * the stream has a publisher, or has none
     */
    live: (live: boolean) => void;
    /**
     * the node is about to end
     */
    goingAway: (inSeconds: number) => void;
    /**
     * what there is of the picture, and what is sent, has changed
     */
    layers: (layers: Record<string, any>) => void;
    /**
     * the session's keys are old: a second connection is to take it over
     */
    rekey: () => void;
    /**
     * the second connection has ended, and the session goes on with the first
     */
    rekeyFailed: (reason: string, detail: string) => void;
    /**
     * the socket was lost, or taken up again; media goes on
     */
    signalling: (up: boolean) => void;
};
export type OpenRequest = {
    direction: Direction;
    stream: string;
    /**
     * SDP
     */
    offer: string;
    notices: Notices;
};
export type Accepted = {
    /**
     * the answer
     */
    sdp: string;
    iceServers: RTCIceServer[];
    via: 'http' | 'websocket';
    /**
     * an ICE restart: fragments (RFC 8840) there and back
     */
    restart: (fragment: string) => Promise<string>;
    /**
     * asks for another encoding of the picture; from then on `notices.layers` tells what there is
     */
    layer: (request: import('./layers.js').LayerRequest) => Promise<void>;
    /**
     * offers a second connection for the session
     */
    rekey: (offer: string) => Promise<{
        sdp: string;
        iceServers: RTCIceServer[];
    }>;
    /**
     * the second connection is in use, and the first one ends
     */
    switched: () => void;
    /**
     * asked when the node has ended the session: why, if that can be found out
     */
    whyEnded: () => Promise<import('./errors.js').CorecastError | null>;
    /**
     * ends the session; neither waits nor throws, for a page that is being left
     */
    close: () => void;
};
export type Transport = {
    open: (request: OpenRequest) => Promise<Accepted>;
    /**
     * the network may be another: look now
     */
    hurry: () => void;
};
/**
 * @param {'auto' | 'websocket' | 'http' | 'whip' | 'whep'} kind
 * @param {string} url the node
 * @param {Token | undefined} token
 * @returns {Transport}
 */
export declare function transport(kind: 'auto' | 'websocket' | 'http' | 'whip' | 'whep', url: string, token: Token | undefined): Transport;
/**
 * The node's address without trailing slashes; the page's own origin if none is given.
 *
 * @param {string | undefined} url
 * @returns {string}
 */
export declare function nodeUrl(url: string | undefined): string;
