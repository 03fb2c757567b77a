/** Wakes who waits for it. */
export class Alarm {
  readonly #signals: readonly AbortSignal[];
  #rung = false;
  #wake = () => {};

  constructor(...signals: readonly AbortSignal[]) {
    this.#signals = signals;
  }

  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /** Settles when it rings or has rung since the last wait, when a signal aborts, or after that time. */
  async wait(ms: number): Promise<void> {
    if (!this.#rung && !this.#signals.some(({ aborted }) => aborted)) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(() => this.#wake(), ms);
        const wake = () => {
          clearTimeout(timer);
          for (const signal of this.#signals) signal.removeEventListener('abort', wake);
          this.#wake = () => {};
          resolve();
        };
        this.#wake = wake;
        for (const signal of this.#signals) signal.addEventListener('abort', wake);
      });
    }
    this.#rung = false;
  }
}
