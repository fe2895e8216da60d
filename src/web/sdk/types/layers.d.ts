export type Layer = {
    /**
     * its place: 0 is the lowest
     */
    id: number;
    /**
     * its name as the publisher gave it; empty without simulcast
     */
    rid: string;
    /**
     * pixels; 0 where that is not known yet
     */
    width: number;
    /**
     * pixels; 0 where that is not known yet
     */
    height: number;
    bitsPerSecond: number;
    framesPerSecond: number;
    /**
     * whether the publisher sends it now: browsers pause what their network or processor does not carry
     */
    alive: boolean;
    /**
     * whether it is played now
     */
    current: boolean;
};
export type LayerChoice = 'auto' | 'sound' | {
    height: number;
} | {
    rid: string;
};
export type Layers = {
    /**
     * the lowest first; one where the publisher sends no simulcast
     */
    layers: Layer[];
    /**
     * the one that is played; null: sound only, or nothing yet
     */
    current: Layer | null;
    /**
     * what was chosen
     */
    choice: LayerChoice;
    /**
     * why this one, in one word, like `top`, `chosen`, `shown_height`, `queue`, `loss`
     */
    why: string;
    /**
     * the same as the end of a sentence: it is played because …
     */
    because: string;
};
export type WireChoice = 'auto' | 'none' | {
    height: number;
} | {
    rid: string;
};
export type LayerRequest = {
    layer?: WireChoice;
    shown_height?: number;
};
/**
 * @typedef {object} Layer one encoding of the picture
 * @property {number} id its place: 0 is the lowest
 * @property {string} rid its name as the publisher gave it; empty without simulcast
 * @property {number} width pixels; 0 where that is not known yet
 * @property {number} height pixels; 0 where that is not known yet
 * @property {number} bitsPerSecond
 * @property {number} framesPerSecond
 * @property {boolean} alive whether the publisher sends it now: browsers pause what their network or processor does not carry
 * @property {boolean} current whether it is played now
 *
 * @typedef {'auto' | 'sound' | { height: number } | { rid: string }} LayerChoice the best that network and size allow; sound only; no higher than so many lines; that encoding
 *
 * @typedef {object} Layers
 * @property {Layer[]} layers the lowest first; one where the publisher sends no simulcast
 * @property {Layer | null} current the one that is played; null: sound only, or nothing yet
 * @property {LayerChoice} choice what was chosen
 * @property {string} why why this one, in one word, like `top`, `chosen`, `shown_height`, `queue`, `loss`
 * @property {string} because the same as the end of a sentence: it is played because …
 *
 * @typedef {'auto' | 'none' | { height: number } | { rid: string }} WireChoice
 * @typedef {{ layer?: WireChoice, shown_height?: number }} LayerRequest what the node is asked for
 */
/** @returns {Layers} before anything is known */
export declare const unknownLayers: () => Layers;
/**
 * What the node is asked for. Throws where it is not a choice.
 *
 * @param {LayerChoice} choice
 * @returns {WireChoice}
 */
export declare function wireChoice(choice: LayerChoice): WireChoice;
/**
 * Reads the node's `layers`.
 *
 * @param {Record<string, any>} message
 * @returns {Layers}
 */
export declare function layersOf(message: Record<string, any>): Layers;
/**
 * Reads the `data` of WHEP's event `layers`: by the index of a section its layers, and beside them what is sent and why.
 *
 * @param {string} data
 * @returns {Record<string, any>} as over the socket
 */
export declare function fromEvent(data: string): Record<string, any>;
/**
 * Tells how many lines of the screen a picture in this element has, when it is first known and when it has changed for good.
 *
 * @param {HTMLVideoElement} video
 * @param {(lines: number) => void} tell
 * @returns {() => void} ends it
 */
export declare function watchHeight(video: HTMLVideoElement, tell: (lines: number) => void): () => void;
