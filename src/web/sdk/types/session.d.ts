import { Connection } from './connection.js';
import { Emitter } from './emitter.js';
import { CorecastError } from './errors.js';
export type Stats = import('./stats.js').Stats;
export type SessionOptions = {
    /**
     * the node, like `https://node.example`; the page's own origin
     */
    url?: string;
    /**
     * the stream's name
     */
    stream: string;
    /**
     * a JWT, or a function that gives one: it is asked before each connection
     */
    token?: import('./transport.js').Token;
    /**
     * `auto`: a WebSocket where the node has one, else WHIP and WHEP (`http`)
     */
    transport?: 'auto' | 'websocket' | 'http' | 'whip' | 'whep';
    /**
     * how long to wait before a new connection; false: the first loss is the end
     */
    reconnect?: false | import('./backoff.js').BackoffOptions;
    /**
     * 1,000
     */
    statsIntervalMs?: number;
    /**
     * over HTTP, where a node cannot ask for it: the age in seconds at which the session's keys are changed; 3,600, a tenth more or less; 0: never
     */
    keyLifetimeS?: number;
    /**
     * besides those the node names; used at once, where the node's TURN servers wait half a second for a way without them
     */
    iceServers?: RTCIceServer[];
    iceTransportPolicy?: RTCIceTransportPolicy;
};
export type SessionState = 'idle' | 'connecting' | 'connected' | 'reconnecting' | 'failed';
export type SessionEvents = {
    /**
     * on every change
     */
    state: {
        state: SessionState;
        error: CorecastError | null;
    };
    /**
     * a new connection, before its offer is made
     */
    peer: {
        pc: RTCPeerConnection;
    };
    /**
     * media can flow
     */
    connected: {
        via: 'http' | 'websocket';
    };
    /**
     * the connection was lost
     */
    disconnected: {
        error: CorecastError;
    };
    /**
     * another will be made after the wait
     */
    reconnecting: {
        attempt: number;
        delayMs: number;
        error: CorecastError;
    };
    /**
     * ICE was restarted: the session goes on over the network there is now
     */
    restarted: Record<string, never>;
    /**
     * another connection with other keys carries the session, the `count`th time
     */
    rekeyed: {
        count: number;
    };
    /**
     * the keys were not changed; the session goes on with those it has, and it is tried again
     */
    rekeyfailed: {
        error: CorecastError;
    };
    /**
     * the socket was lost (media goes on), or taken up again
     */
    signalling: {
        up: boolean;
    };
    /**
     * the node is about to end
     */
    goingaway: {
        inSeconds: number;
    };
    /**
     * by `close()` (`closed`), or for good by the node
     */
    ended: {
        reason: string;
        detail: string;
    };
    /**
     * it cannot go on; the state is `failed`
     */
    error: {
        error: CorecastError;
    };
    /**
     * every second
     */
    stats: Stats;
};
export type Run = {
    stop: AbortController;
    connection: Connection | null;
    pc: RTCPeerConnection | null;
    hurry: () => void;
    /**
     * there is a second connection
     */
    rekeying: AbortController | null;
    rekeys: number;
};
export type Takeover = {
    /**
     * the second connection is connected: resolves when its media is in use
     */
    begin: () => Promise<void>;
    /**
     * the first one is about to be closed
     */
    finish: () => Promise<void> | void;
    /**
     * there is no second connection any more
     */
    cancel: () => void;
};
/**
 * @typedef {import('./stats.js').Stats} Stats
 *
 * @typedef {object} SessionOptions
 * @property {string} [url] the node, like `https://node.example`; the page's own origin
 * @property {string} stream the stream's name
 * @property {import('./transport.js').Token} [token] a JWT, or a function that gives one: it is asked before each connection
 * @property {'auto' | 'websocket' | 'http' | 'whip' | 'whep'} [transport] `auto`: a WebSocket where the node has one, else WHIP and WHEP (`http`)
 * @property {false | import('./backoff.js').BackoffOptions} [reconnect] how long to wait before a new connection; false: the first loss is the end
 * @property {number} [statsIntervalMs] 1,000
 * @property {number} [keyLifetimeS] over HTTP, where a node cannot ask for it: the age in seconds at which the session's keys are changed; 3,600, a tenth more or less; 0: never
 * @property {RTCIceServer[]} [iceServers] besides those the node names; used at once, where the node's TURN servers wait half a second for a way without them
 * @property {RTCIceTransportPolicy} [iceTransportPolicy]
 *
 * @typedef {'idle' | 'connecting' | 'connected' | 'reconnecting' | 'failed'} SessionState
 *
 * @typedef {object} SessionEvents
 * @property {{ state: SessionState, error: CorecastError | null }} state on every change
 * @property {{ pc: RTCPeerConnection }} peer a new connection, before its offer is made
 * @property {{ via: 'http' | 'websocket' }} connected media can flow
 * @property {{ error: CorecastError }} disconnected the connection was lost
 * @property {{ attempt: number, delayMs: number, error: CorecastError }} reconnecting another will be made after the wait
 * @property {Record<string, never>} restarted ICE was restarted: the session goes on over the network there is now
 * @property {{ count: number }} rekeyed another connection with other keys carries the session, the `count`th time
 * @property {{ error: CorecastError }} rekeyfailed the keys were not changed; the session goes on with those it has, and it is tried again
 * @property {{ up: boolean }} signalling the socket was lost (media goes on), or taken up again
 * @property {{ inSeconds: number }} goingaway the node is about to end
 * @property {{ reason: string, detail: string }} ended by `close()` (`closed`), or for good by the node
 * @property {{ error: CorecastError }} error it cannot go on; the state is `failed`
 * @property {Stats} stats every second
 */
/**
 * One run of a session, from its start until it is stopped.
 *
 * @typedef {object} Run
 * @property {AbortController} stop
 * @property {Connection | null} connection
 * @property {RTCPeerConnection | null} pc
 * @property {() => void} hurry
 * @property {AbortController | null} rekeying there is a second connection
 * @property {number} rekeys
 */
/**
 * What becomes of the media while a second connection takes the session over.
 *
 * @typedef {object} Takeover
 * @property {() => Promise<void>} begin the second connection is connected: resolves when its media is in use
 * @property {() => Promise<void> | void} finish the first one is about to be closed
 * @property {() => void} cancel there is no second connection any more
 */
/**
 * @template {SessionEvents} [Events=SessionEvents]
 * @extends {Emitter<Events>}
 */
export declare class Session<Events extends SessionEvents = SessionEvents> extends Emitter<Events> {
    #private;
    /** @param {import('./transport.js').Direction} direction @param {SessionOptions} options */
    constructor(direction: import('./transport.js').Direction, options: SessionOptions);
    /** The stream's name. */
    get stream(): string;
    get state(): SessionState;
    /** Why it failed, or why it reconnects; null while all is well. */
    get error(): CorecastError | null;
    /** The present RTCPeerConnection, for what the SDK does not offer. */
    get pc(): RTCPeerConnection | null;
    /** The last statistics; null before there are any. */
    get stats(): import("./stats.js").Stats | null;
    /** Ends the session, here and on the node. It can be started again. */
    close(): void;
    /** Replaces the connection at once, for changes that a running one does not allow. */
    renew(): Promise<void>;
    /** Adds the media that the connection carries. @protected @param {RTCPeerConnection} pc @returns {void | Promise<void>} */
    protected prepare(pc: RTCPeerConnection): void | Promise<void>;
    /**
     * Adds the media that a second connection carries, beside the one in use. @protected @param {RTCPeerConnection} pc
     * @returns {Takeover | Promise<Takeover>}
     */
    protected prepareSecond(pc: RTCPeerConnection): Takeover | Promise<Takeover>;
    /** @protected @param {string} sdp the browser's offer @returns {string} the offer as the node is sent it */
    protected adjustOffer(sdp: string): string;
    /** @protected @param {string} sdp the node's answer @returns {string} the answer as it is applied */
    protected adjustAnswer(sdp: string): string;
    /** @protected @param {boolean} live as the node says */
    protected onLive(live: boolean): void;
    /** The session is open on the node, which answers requests about it. @protected @param {import('./transport.js').Accepted} accepted */
    protected onAccepted(accepted: import('./transport.js').Accepted): void;
    /** @protected @param {Record<string, any>} layers as the node says */
    protected onLayers(layers: Record<string, any>): void;
    /** The socket was lost, or taken up again. @protected @param {boolean} up */
    protected onSignalling(up: boolean): void;
    /** @protected @param {Stats} stats */
    protected onStats(stats: Stats): void;
    /** The run has ended. @protected */
    protected onEnd(): void;
    /**
     * Starts. Resolves when connected for the first time, rejects if that will not happen.
     *
     * @protected
     * @returns {Promise<void>}
     */
    protected begin(): Promise<void>;
    /**
     * @template {keyof SessionEvents} Name
     * @protected
     * @param {Name} name
     * @param {SessionEvents[Name]} detail
     */
    protected tell<Name extends keyof SessionEvents>(name: Name, detail: SessionEvents[Name]): void;
    /**
     * Changes the session's SRTP keys now: a second connection is made, takes the media over without a gap, and the first one is
     * closed. Resolves with whether it was done. The node asks for it by itself when keys are old.
     *
     * @returns {Promise<boolean>}
     */
    rekey(): Promise<boolean>;
}
