import { randomUUID } from 'node:crypto';
import { type RedisServer, RedisServers } from '#src/cache/redis-servers.ts';
import type { Logger } from '#src/observability/logger.ts';
import { OutageLog } from '#src/observability/outage-log.ts';
import type { CircuitBreakerState } from '#src/resilience/circuit-breaker.ts';
import { within } from '#src/resilience/within.ts';

/**
 * Text by key in Redis, for all instances. Nothing of it rejects, and nothing takes longer than the timeout: a fault of Redis is the
 * answer `unavailable`, which comes at once while there is no connection, or while the circuit breaker is open.
 *
 * It connects, and connects again, by itself, and finds the servers again when they have moved. Commands are never kept for later.
 */
export class SharedCache implements AsyncDisposable {
  readonly #namespace: string;
  readonly #timeoutMs: number;
  readonly #servers: RedisServers;
  readonly #log: OutageLog;
  readonly #onError: () => void;
  #lastError: unknown;
  #inFlight = 0;
  #isDisposed = false;

  constructor(url: string, options: SharedCacheOptions) {
    this.#namespace = options.namespace;
    this.#timeoutMs = options.timeoutMs;
    this.#onError = options.onError ?? (() => {});
    this.#log = new OutageLog(
      options.log,
      'the shared cache fails, and is not used until it works again',
      'the shared cache works again',
    );
    this.#servers = new RedisServers(url, {
      namespace: options.namespace,
      onStateChange: state => {
        // One command that takes long is no outage.
        if (state === 'open') this.#log.begin(this.#lastError);
        options.onStateChange?.(state);
      },
      onError: error => this.#failed(error),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await this.#servers[Symbol.asyncDispose]();
  }

  /** What is under the key; undefined where nothing is. */
  async get(key: string): Promise<SharedEntry | undefined | Unavailable> {
    return this.#try(key, redis => this.#read(redis, key));
  }

  /** Puts it there for so many milliseconds. */
  async set(key: string, text: string, ttlMs: number): Promise<void> {
    await this.#try(key, ({ keyv }) => keyv.set(tagged(key), text, Math.max(1, Math.round(ttlMs))));
  }

  async delete(keys: readonly string[]): Promise<void> {
    // One by one, since they may be on several servers; on each they leave together.
    await Promise.all(keys.map(key => this.#try(key, ({ keyv }) => keyv.delete(tagged(key)))));
  }

  /**
   * Claims what is under the key, for who makes it anew.
   *
   * @param ttlMs after which it ends by itself, should this process have died.
   * @returns `taken` where another one has claimed it.
   */
  async claim(key: string, ttlMs: number): Promise<Claim | 'taken' | Unavailable> {
    const lock = this.#lock(key);
    const token = randomUUID();
    const won = await this.#try(key, ({ client }) =>
      client.set(lock, token, { condition: 'NX', expiration: { type: 'PX', value: ttlMs } }),
    );
    if (won === 'unavailable') return won;
    if (won === null) return 'taken';
    const release = () => this.#try(key, ({ client }) => client.eval(RELEASE, { keys: [lock], arguments: [token] }));
    return {
      release: async () => {
        await release();
      },
    };
  }

  /** Whether somebody has claimed the key, and then what is under it: so a claim that has ended has left what it was for. */
  async look(key: string): Promise<Look | Unavailable> {
    return this.#try(key, async redis => {
      const [claims, entry] = await Promise.all([redis.client.exists(this.#lock(key)), this.#read(redis, key)]);
      return { isClaimed: claims > 0, entry };
    });
  }

  get state(): CircuitBreakerState {
    return this.#servers.state;
  }

  async #read({ client, keyv }: RedisServer, key: string): Promise<SharedEntry | undefined> {
    // Sent together, in this order.
    const [text, leftMs] = await Promise.all([
      keyv.get(tagged(key)),
      client.pTTL(`${this.#namespace}${SEPARATOR}${tagged(key)}`),
    ]);
    return text === undefined || leftMs < 0 ? undefined : { text, leftMs };
  }

  #lock(key: string): string {
    return `${this.#namespace}:lock${SEPARATOR}${tagged(key)}`;
  }

  async #try<T>(key: string, work: (redis: RedisServer) => Promise<T>): Promise<T | Unavailable> {
    const redis = this.#servers.of(tagged(key));
    if (redis === undefined) return UNAVAILABLE;
    // More would wait in this process, and most of them for longer than they may.
    if (this.#inFlight >= IN_FLIGHT_MAX) return UNAVAILABLE;
    this.#inFlight++;
    const attempt = () =>
      within(this.#timeoutMs, work(redis)).catch(error => {
        this.#onError();
        this.#lastError = error;
        this.#servers.refused(error);
        throw error;
      });
    try {
      const result = await redis.breaker.execute(attempt);
      this.#log.end();
      return result;
    } catch {
      return UNAVAILABLE;
    } finally {
      this.#inFlight--;
    }
  }

  #failed(error: unknown): void {
    if (this.#isDisposed) return;
    this.#onError();
    this.#log.begin(error);
  }
}

export interface SharedCacheOptions {
  /** Before all keys: who has another one, shares nothing with this. */
  readonly namespace: string;
  /** For each command, in milliseconds. */
  readonly timeoutMs: number;
  readonly log: Logger;
  readonly onStateChange?: (state: CircuitBreakerState) => void;
  readonly onError?: () => void;
}

export interface SharedEntry {
  readonly text: string;
  /** Until it is gone, in milliseconds. */
  readonly leftMs: number;
}

export interface Claim {
  /** Ends it, unless it has ended by itself and is another one's now. */
  release(): Promise<void>;
}

export interface Look {
  readonly isClaimed: boolean;
  readonly entry: SharedEntry | undefined;
}

export type Unavailable = typeof UNAVAILABLE;

/** With its braces a key and its lock have one slot, so they are on one server of a cluster. */
function tagged(key: string): string {
  return `{${key}}`;
}

const UNAVAILABLE = 'unavailable';
/** Commands, pipelined on one connection: Redis does some hundred thousand a second. */
const IN_FLIGHT_MAX = 1000;
/** KeyvRedis' own, between its namespace and a key. */
const SEPARATOR = '::';
const RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";
