import { randomUUID } from 'node:crypto';
import { bulkhead } from 'cockatiel';
import { withTimeout } from '#src/async/with-timeout.ts';
import { type RedisServer, RedisServers } from '#src/cache/redis-servers.ts';
import type { Logger } from '#src/observability/logger.ts';
import { OutageLog } from '#src/observability/outage-log.ts';
import type { CircuitBreakerState } from '#src/resilience/circuit-breaker.ts';

/**
 * Text by key in Redis, for all instances. Nothing of it rejects, and nothing takes longer than the timeout: a fault of Redis is the
 * answer `unavailable`, which comes at once while there is no connection, or while the circuit breaker is open.
 *
 * It connects, and connects again, by itself, and finds the servers again when they have moved. Commands are never kept for later.
 */
export class RedisCache implements AsyncDisposable {
  readonly #timeoutMs: number;
  readonly #servers: RedisServers;
  readonly #log: OutageLog;
  readonly #onError: () => void;
  #lastError: unknown;
  /** Further commands would wait in this process, and most of them for longer than they may: they fail at once. */
  readonly #bulkhead = bulkhead(IN_FLIGHT_MAX, 0);
  #isDisposed = false;

  constructor(url: string, options: RedisCacheOptions) {
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
    const token = randomUUID();
    const won = await this.#try(key, ({ leases }) => leases.acquire(tagged(key), token, ttlMs));
    if (won === 'unavailable') return won;
    if (!won) return 'taken';
    const release = () => this.#try(key, ({ leases }) => leases.release(tagged(key), token));
    return {
      release: async () => {
        await release();
      },
    };
  }

  /** Whether somebody has claimed the key, and then what is under it: so a claim that has ended has left what it was for. */
  async look(key: string): Promise<Look | Unavailable> {
    return this.#try(key, async redis => {
      const [isClaimed, entry] = await Promise.all([redis.leases.isHeld(tagged(key)), this.#read(redis, key)]);
      return { isClaimed, entry };
    });
  }

  get state(): CircuitBreakerState {
    return this.#servers.state;
  }

  async #read({ keyv, leases }: RedisServer, key: string): Promise<SharedEntry | undefined> {
    const [text, leftMs] = await Promise.all([keyv.get<string>(tagged(key)), leases.leftMs(tagged(key))]);
    return text === undefined || leftMs < 0 ? undefined : { text, leftMs };
  }

  async #try<T>(key: string, work: (redis: RedisServer) => Promise<T>): Promise<T | Unavailable> {
    const redis = this.#servers.of(tagged(key));
    if (redis === undefined) return UNAVAILABLE;
    const attempt = () =>
      withTimeout(this.#timeoutMs, work(redis)).catch(error => {
        this.#onError();
        this.#lastError = error;
        this.#servers.refused(error);
        throw error;
      });
    try {
      const result = await this.#bulkhead.execute(() => redis.breaker.execute(attempt));
      this.#log.end();
      return result;
    } catch {
      return UNAVAILABLE;
    }
  }

  #failed(error: unknown): void {
    if (this.#isDisposed) return;
    this.#onError();
    this.#log.begin(error);
  }
}

export interface RedisCacheOptions {
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
