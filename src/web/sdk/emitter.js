// An EventTarget whose events have types.

/**
 * @template {object} Events names of events, and what is in their `detail`
 */
export class Emitter extends EventTarget {
  /**
   * Listens, as `addEventListener` does, with the event's type known. What it returns stops listening.
   *
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {(event: CustomEvent<Events[Name]>) => void} listener
   * @param {AddEventListenerOptions} [options]
   * @returns {() => void}
   */
  on(name, listener, options) {
    const plain = /** @type {EventListener} */ (listener);
    this.addEventListener(name, plain, options);
    return () => this.removeEventListener(name, plain, options);
  }
}
