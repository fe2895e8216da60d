export type Accepted = import('./transport.js').Accepted;
export type OpenRequest = import('./transport.js').OpenRequest;
export type Token = import('./transport.js').Token;
export type Transport = import('./transport.js').Transport;
/**
 * @typedef {import('./transport.js').Accepted} Accepted
 * @typedef {import('./transport.js').OpenRequest} OpenRequest
 * @typedef {import('./transport.js').Token} Token
 * @typedef {import('./transport.js').Transport} Transport
 */
/** @implements {Transport} */
export declare class HttpTransport implements Transport {
    #private;
    /** @param {string} url the node @param {Token | undefined} token */
    constructor(url: string, token: Token | undefined);
    /** @param {OpenRequest} request @returns {Promise<Accepted>} */
    open({ direction, stream, offer, notices }: OpenRequest): Promise<Accepted>;
    hurry(): void;
}
