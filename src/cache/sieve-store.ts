import type { KeyvStoreAdapter } from 'keyv';
import { Keyv } from 'keyv';

/**
 * A store for Keyv, in this process, bounded by bytes. It keeps values as they are, without a copy, so they must be immutable.
 *
 * SIEVE chooses what to evict. A queue holds the entries in the order of arrival, and a hand goes from its old end to its new end, again and
 * again. The hand clears the mark of an entry that was used, and evicts the first one without a mark.
 *
 * A use only sets that mark. An entry that is used once passes through, and does not displace what is used often, as it would with
 * least-recently-used. All operations are O(1), amortized.
 *
 * It has no time to live: Keyv follows the wall clock, which jumps. Who needs one keeps it in the value.
 *
 * @see https://www.usenix.org/conference/nsdi24/presentation/zhang-yazhuo
 */
export class SieveStore<Value> implements KeyvStoreAdapter {
  /** Keyv reads and sets these two. */
  readonly opts = {};
  namespace: string | undefined;
  readonly #nodes = new Map<string, Node<Value>>();
  readonly #maxBytes: number;
  readonly #sizeOf: (value: Value, key: string) => number;
  /** The one that came last. */
  #newest: Node<Value> | undefined;
  #oldest: Node<Value> | undefined;
  /** Where the search for what to evict goes on; undefined: at the oldest. */
  #hand: Node<Value> | undefined;
  #bytes = 0;

  /**
   * @param maxBytes the limit for all entries together. An entry that takes more than a sixteenth of it is not kept, since it would push out too
   *   much.
   * @param sizeOf the bytes that a value takes with its key. It must give the same number for the same value.
   */
  constructor(maxBytes: number, sizeOf: (value: Value, key: string) => number) {
    this.#maxBytes = maxBytes;
    this.#sizeOf = sizeOf;
  }

  /** The value under this key, at once. It counts as a use. */
  peek(key: string): Value | undefined {
    const node = this.#nodes.get(key);
    if (node === undefined) return undefined;
    node.used = true;
    return node.kept.value;
  }

  async get<T>(key: string): Promise<T | undefined> {
    return (this.peek(key) === undefined ? undefined : this.#nodes.get(key)?.kept) as T | undefined;
  }

  /** @returns whether the value was kept. What was under this key before is gone in any case. */
  async set(key: string, kept: Kept<Value>): Promise<boolean> {
    const bytes = this.#sizeOf(kept.value, key);
    if (bytes > this.#maxBytes * LARGEST) {
      this.#delete(key);
      return false;
    }
    const before = this.#nodes.get(key);
    if (before !== undefined) {
      // It stays where it is in the queue, and is in use.
      this.#bytes += bytes - before.bytes;
      before.kept = kept;
      before.bytes = bytes;
      before.used = true;
    } else {
      this.#makeRoom(bytes);
      this.#append({ key, kept, bytes, used: false, older: this.#newest, newer: undefined });
    }
    this.#makeRoom(0);
    return this.#nodes.has(key);
  }

  async delete(key: string): Promise<boolean> {
    return this.#delete(key);
  }

  async has(key: string): Promise<boolean> {
    return this.#nodes.has(key);
  }

  async clear(): Promise<void> {
    this.#nodes.clear();
    this.#newest = undefined;
    this.#oldest = undefined;
    this.#hand = undefined;
    this.#bytes = 0;
  }

  /** Keyv asks to be told of errors: there are none. */
  on(): this {
    return this;
  }

  /** How many values there are. */
  get size(): number {
    return this.#nodes.size;
  }

  /** Of all values together; never more than the bound. */
  get bytes(): number {
    return this.#bytes;
  }

  #delete(key: string): boolean {
    const node = this.#nodes.get(key);
    if (node === undefined) return false;
    this.#remove(node);
    return true;
  }

  #makeRoom(bytes: number): void {
    while (this.#bytes + bytes > this.#maxBytes) {
      let node = this.#hand ?? this.#oldest;
      while (node?.used) {
        node.used = false;
        node = node.newer ?? this.#oldest;
      }
      if (node === undefined) return;
      this.#hand = node.newer;
      this.#remove(node);
    }
  }

  #append(node: Node<Value>): void {
    if (this.#newest === undefined) this.#oldest = node;
    else this.#newest.newer = node;
    this.#newest = node;
    this.#nodes.set(node.key, node);
    this.#bytes += node.bytes;
  }

  #remove(node: Node<Value>): void {
    const { older, newer } = node;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    if (this.#hand === node) this.#hand = newer;
    this.#nodes.delete(node.key);
    this.#bytes -= node.bytes;
  }
}

/** What Keyv hands over without a serializer. */
interface Kept<Value> {
  readonly value: Value;
}

interface Node<Value> {
  readonly key: string;
  kept: Kept<Value>;
  bytes: number;
  /** Since the hand last passed. */
  used: boolean;
  older: Node<Value> | undefined;
  newer: Node<Value> | undefined;
}

/** Of the whole, that one value may take. */
const LARGEST = 1 / 16;

/** The cache in this process: a Keyv over a store that is bounded by bytes. */
export interface NearCache<Value> {
  readonly keyv: Keyv<Value>;
  /**
   * Looks into the store at once. That takes 0.1 us, and `keyv.get` 0.3 us, where a hit takes 0.5 us in all (bench/results/cache.md). Undefined
   * where `keyv` has another store, which can only be asked through Keyv.
   */
  readonly peek?: (key: string) => Value | undefined;
}

/** The near cache of the service, with what its metrics tell. */
export interface BoundedNearCache<Value> extends NearCache<Value> {
  readonly store: SieveStore<Value>;
}

/**
 * Makes a near cache. Its values are kept as they are, so they must be immutable.
 *
 * @param options.maxBytes the limit for all entries together.
 * @param options.sizeOf about how many bytes a value takes; the same for the same value.
 */
export function createNearCache<Value>(options: {
  readonly maxBytes: number;
  readonly sizeOf: (value: Value) => number;
}): BoundedNearCache<Value> {
  const { maxBytes, sizeOf } = options;
  const store = new SieveStore<Value>(maxBytes, (value, key) => sizeOf(value) + ENTRY_BYTES + key.length);
  const keyv = new Keyv<Value>({ store, serialize: undefined, deserialize: undefined, useKeyPrefix: false } as object);
  return { keyv, store, peek: key => store.peek(key) };
}

/** Of the objects around a value, and its place in a Map. */
const ENTRY_BYTES = 180;
