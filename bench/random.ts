/** Random numbers that are the same in every run. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 up to 1, without 1: the generator mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 up to `end`, without `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** Around 0, with a standard deviation of 1. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/** Picks from a list as people do: the first twice as often as the second, three times as often as the third (Zipf). */
export class ZipfPicker<T> {
  readonly #items: readonly T[];
  readonly #upTo: readonly number[];
  readonly #random: Random;

  constructor(items: readonly T[], random: Random) {
    let sum = 0;
    this.#items = items;
    this.#upTo = items.map((_, i) => {
      sum += 1 / (i + 1);
      return sum;
    });
    this.#random = random;
  }

  next(): T {
    const target = this.#random.next() * (this.#upTo.at(-1) ?? 0);
    let low = 0;
    let high = this.#items.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#upTo[middle] ?? 0) <= target) low = middle + 1;
      else high = middle;
    }
    return this.#items[low] as T;
  }
}
