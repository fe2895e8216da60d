// An EventTarget whose events have types.

/**
 * @template {object} Events names of events, with the type of their `detail`
 */
export class Emitter extends EventTarget {
  /**
   * Listens like `addEventListener`, with a typed event. Returns a function that stops listening.
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
