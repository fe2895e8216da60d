/**
 * @template {object} Events names of events, with the type of their `detail`
 */
export declare class Emitter<Events extends object> extends EventTarget {
    /**
     * Listens like `addEventListener`, with a typed event. Returns a function that stops listening.
     *
     * @template {keyof Events & string} Name
     * @param {Name} name
     * @param {(event: CustomEvent<Events[Name]>) => void} listener
     * @param {AddEventListenerOptions} [options]
     * @returns {() => void}
     */
    on<Name extends keyof Events & string>(name: Name, listener: (event: CustomEvent<Events[Name]>) => void, options?: AddEventListenerOptions): () => void;
}
