/**
 * @template {object} Events names of events, and what is in their `detail`
 */
export declare class Emitter<Events extends object> extends EventTarget {
    /**
     * Listens, as `addEventListener` does, with the event's type known. What it returns stops listening.
     *
     * @template {keyof Events & string} Name
     * @param {Name} name
     * @param {(event: CustomEvent<Events[Name]>) => void} listener
     * @param {AddEventListenerOptions} [options]
     * @returns {() => void}
     */
    on<Name extends keyof Events & string>(name: Name, listener: (event: CustomEvent<Events[Name]>) => void, options?: AddEventListenerOptions): () => void;
}
