import type { WatchedPlace } from '#src/posts/feed/post-watches.ts';

/** Reads a watch in the background, and lets a test wait for what it has read. */
export class WatchReader<Place extends { readonly change?: unknown } = WatchedPlace> {
  readonly places: Place[] = [];
  /** Undefined until the watch has ended; then what it failed of, or null. */
  end: unknown;
  readonly #waiting = new Set<() => void>();

  constructor(watch: AsyncIterable<Place>) {
    void this.#read(watch);
  }

  get changes(): NonNullable<Place['change']>[] {
    return this.places.flatMap(({ change }) => change ?? []);
  }

  /** Resolves when what was read meets the condition; rejects where the watch ends before. */
  until(met: (reader: this) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (met(this)) resolve();
        else if (this.end !== undefined) reject(this.end ?? new Error('the watch has ended'));
        else return;
        this.#waiting.delete(look);
      };
      this.#waiting.add(look);
      look();
    });
  }

  async #read(watch: AsyncIterable<Place>): Promise<void> {
    try {
      for await (const place of watch) {
        this.places.push(place);
        this.#look();
      }
      this.end = null;
    } catch (error) {
      this.end = error;
    }
    this.#look();
  }

  #look(): void {
    for (const look of [...this.#waiting]) look();
  }
}
