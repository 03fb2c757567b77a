/**
 * Values by key, bounded by their bytes. What is evicted is chosen by SIEVE: a queue in the order of arrival, and a hand that goes
 * from its old end to its new one, over and over; what was used since the hand last passed stays, and the first that was not goes.
 *
 * A use costs setting a flag, no list is reordered; and what is used once passes through without displacing what is used often, where
 * least-recently-used would let it. Everything is O(1), eviction amortized: the hand passes over as many flags as uses have set.
 *
 * @see https://www.usenix.org/conference/nsdi24/presentation/zhang-yazhuo
 */
export class BoundedStore<Value> {
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
   * @param maxBytes of all values together. One that alone has more than a sixteenth of that is not kept: it would push out too much.
   * @param sizeOf how many bytes a value takes, with its key; has to give the same number for the same value.
   */
  constructor(maxBytes: number, sizeOf: (value: Value, key: string) => number) {
    this.#maxBytes = maxBytes;
    this.#sizeOf = sizeOf;
  }

  get(key: string): Value | undefined {
    const node = this.#nodes.get(key);
    if (node === undefined) return undefined;
    node.used = true;
    return node.value;
  }

  /** @returns whether it was kept; what was there under this key is gone in any case. */
  set(key: string, value: Value): boolean {
    const bytes = this.#sizeOf(value, key);
    if (bytes > this.#maxBytes * LARGEST) {
      this.delete(key);
      return false;
    }
    const before = this.#nodes.get(key);
    if (before !== undefined) {
      // It stays where it is in the queue, and is in use.
      this.#bytes += bytes - before.bytes;
      before.value = value;
      before.bytes = bytes;
      before.used = true;
    } else {
      this.#makeRoom(bytes);
      this.#append({ key, value, bytes, used: false, older: this.#newest, newer: undefined });
    }
    this.#makeRoom(0);
    return this.#nodes.has(key);
  }

  delete(key: string): boolean {
    const node = this.#nodes.get(key);
    if (node === undefined) return false;
    this.#remove(node);
    return true;
  }

  /** How many values there are. */
  get size(): number {
    return this.#nodes.size;
  }

  /** Of all values together; never more than the bound. */
  get bytes(): number {
    return this.#bytes;
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

interface Node<Value> {
  readonly key: string;
  value: Value;
  bytes: number;
  /** Since the hand last passed. */
  used: boolean;
  older: Node<Value> | undefined;
  newer: Node<Value> | undefined;
}

/** Of the whole, that one value may take. */
const LARGEST = 1 / 16;
