import { SieveStore } from '#src/cache/sieve-store.ts';
import { type CacheEntry, sizeOfEntry } from '#src/posts/cache/cache-entry.ts';
import { Random, ZipfPicker } from '../random.ts';

/** The hit ratio of a trace, with room for this share of all bytes. */
export interface HitRatio {
  readonly trace: string;
  readonly room: number;
  readonly sieve: number;
  readonly lru: number;
}

/** Replays the same reads on SIEVE and on plain LRU, with the same limit in bytes. */
export function measureHitRatios(answers: readonly CacheEntry[], reads: number): HitRatio[] {
  const total = answers.reduce((sum, answer) => sum + sizeOfEntry(answer), 0);
  return ROOMS.flatMap(room =>
    Object.entries(TRACES).map(([trace, scansEach]) => {
      const bound = total * room;
      const sieve = new SieveStore<CacheEntry>(bound, sizeOfEntry);
      const lru = new LeastRecentlyUsed(bound);
      const hits = { sieve: 0, lru: 0 };
      let counted = 0;
      for (const { key, answer, counts } of traceOf(answers, reads, scansEach)) {
        if (sieve.peek(key) !== undefined) hits.sieve += counts;
        else void sieve.set(key, { value: answer });
        if (lru.get(key)) hits.lru += counts;
        else lru.set(key, sizeOfEntry(answer));
        counted += counts;
      }
      return { trace, room, sieve: hits.sieve / counted, lru: hits.lru / counted };
    }),
  );
}

/** The cache that most people write: a Map in order of last use. */
class LeastRecentlyUsed {
  readonly #maxBytes: number;
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: string): boolean {
    const size = this.#sizes.get(key);
    if (size === undefined) return false;
    this.#sizes.delete(key);
    this.#sizes.set(key, size);
    return true;
  }

  set(key: string, bytes: number): void {
    this.#sizes.set(key, bytes);
    this.#bytes += bytes;
    for (const [oldest, size] of this.#sizes) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#sizes.delete(oldest);
      this.#bytes -= size;
    }
  }
}

/** Reads by Zipf's law. Now and then a crawler reads all posts in order; its hits do not count. */
function* traceOf(answers: readonly CacheEntry[], reads: number, scansEach: number) {
  const keys = answers.map((_, n) => n);
  const picker = new ZipfPicker(keys, new Random(7));
  const read = (n: number, counts: 0 | 1) => ({ key: String(n), answer: answers[n] as CacheEntry, counts });
  for (let n = 0; n < reads; n++) {
    yield read(picker.next(), 1);
    if (scansEach > 0 && n % scansEach === scansEach - 1) for (const key of keys) yield read(key, 0);
  }
}

const ROOMS = [0.01, 0.1];
/** The number of reads between two crawls; 0: no crawls. */
const TRACES: Readonly<Record<string, number>> = { Zipf: 0, 'Zipf, and all posts read in between': 200_000 };
