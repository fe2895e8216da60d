import { CorecastError } from './errors.js';
export type Accepted = import('./transport.js').Accepted;
export type Notices = import('./transport.js').Notices;
export type OpenRequest = import('./transport.js').OpenRequest;
export type Token = import('./transport.js').Token;
export type Transport = import('./transport.js').Transport;
export type Message = Record<string, any>;
export type Waiting = {
    resolve: (message: any) => void;
    reject: (error: CorecastError) => void;
    accept: (message: Message) => any;
};
export type Held = {
    secret: string;
    stream: string;
    notices: Notices;
};
/**
 * @typedef {import('./transport.js').Accepted} Accepted
 * @typedef {import('./transport.js').Notices} Notices
 * @typedef {import('./transport.js').OpenRequest} OpenRequest
 * @typedef {import('./transport.js').Token} Token
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {Record<string, any>} Message
 * @typedef {{ resolve: (message: any) => void, reject: (error: CorecastError) => void, accept: (message: Message) => any }} Waiting
 * @typedef {{ secret: string, stream: string, notices: Notices }} Held
 */
/** @implements {Transport} */
export declare class WebSocketTransport implements Transport {
    #private;
    /** @param {string} url the node @param {Token | undefined} token */
    constructor(url: string, token: Token | undefined);
    /** @param {OpenRequest} request @returns {Promise<Accepted>} */
    open(request: OpenRequest): Promise<Accepted>;
    hurry(): void;
}
/** One socket, opened when it is needed and kept while it has sessions. */
export declare class Signalling {
    #private;
    /** @param {string} url @param {Token | undefined} token */
    static shared(url: string, token: Token | undefined): any;
    /** @param {string} url */
    static hasOpened(url: string): boolean;
    /** @param {string} url @param {Token | undefined} [token] @param {import('./backoff.js').BackoffOptions} [backoff] */
    constructor(url: string, token?: Token | undefined, backoff?: import('./backoff.js').BackoffOptions);
    /** Opens a session. @param {OpenRequest} request @returns {Promise<Accepted>} */
    open({ direction, stream, offer, notices }: OpenRequest): Promise<Accepted>;
    /** The network may have changed: a socket that waits to be opened is opened now, and an open one is pinged. */
    hurry(): void;
    /** Ends the socket and, by its close code, every session on it. */
    close(): void;
}
