import type { default as KeyvRedis, RedisClientType } from '@keyv/redis';

/**
 * The commands that Keyv does not have: leases, and the time that an entry has left. All commands that go past Keyv are here.
 *
 * The adapter itself makes the names of the keys in Redis. The lease of a key has a namespace of its own.
 */
export class RedisLeases {
  readonly #client: RedisClientType;
  readonly #adapter: KeyvRedis<string>;
  readonly #namespace: string;

  /** @param namespace that of the adapter. */
  constructor(client: RedisClientType, adapter: KeyvRedis<string>, namespace: string) {
    this.#client = client;
    this.#adapter = adapter;
    this.#namespace = namespace;
  }

  /** The milliseconds until Redis drops the entry; negative where it has none, or one that does not end. */
  leftMs(key: string): Promise<number> {
    return this.#client.pTTL(this.#adapter.createKeyPrefix(key, this.#namespace));
  }

  /**
   * Takes the lease of a key.
   *
   * @param token names the holder, and must be unguessable.
   * @returns false where another holder has the lease.
   */
  async acquire(key: string, token: string, ttlMs: number): Promise<boolean> {
    const options = { condition: 'NX', expiration: { type: 'PX', value: ttlMs } } as const;
    return (await this.#client.set(this.#leaseOf(key), token, options)) !== null;
  }

  /** Ends the lease, if this holder still has it. */
  async release(key: string, token: string): Promise<void> {
    await this.#client.eval(RELEASE, { keys: [this.#leaseOf(key)], arguments: [token] });
  }

  async isHeld(key: string): Promise<boolean> {
    return (await this.#client.exists(this.#leaseOf(key))) > 0;
  }

  #leaseOf(key: string): string {
    return this.#adapter.createKeyPrefix(key, `${this.#namespace}:lock`);
  }
}

const RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";
