/** Wakes who waits for it. Disposed of, it hears of its signals no more. */
export class Alarm implements Disposable {
  readonly #signals: readonly AbortSignal[];
  #rung = false;
  #wake = () => {};

  constructor(...signals: readonly AbortSignal[]) {
    this.#signals = signals;
    // Once, since a watcher waits some hundred times a second.
    for (const signal of signals) signal.addEventListener('abort', this.ring);
    if (signals.some(({ aborted }) => aborted)) this.#rung = true;
  }

  [Symbol.dispose](): void {
    for (const signal of this.#signals) signal.removeEventListener('abort', this.ring);
  }

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake();
  };

  /** Settles when it rings or has rung since the last wait, when a signal aborts, or after that time. */
  async wait(ms: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, Math.max(0, ms));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = () => {};
    }
    this.#rung = false;
  }
}
