import { randomUUID } from 'node:crypto';
import { bulkhead } from 'cockatiel';
import { withTimeout } from '#src/async/with-timeout.ts';
import { type RedisServer, RedisServers } from '#src/cache/redis-servers.ts';
import type { Logger } from '#src/observability/logger.ts';
import { OutageLog } from '#src/observability/outage-log.ts';
import type { CircuitBreakerState } from '#src/resilience/circuit-breaker.ts';

/**
 * Text by key in Redis, for all instances. Nothing rejects, and nothing takes longer than the timeout. A fault of Redis is the result
 * `unavailable`, at once while there is no connection or while the circuit breaker is open.
 *
 * It reconnects by itself, and finds servers that have moved. Commands are never queued for later.
 */
export class RedisCache implements AsyncDisposable {
  readonly #timeoutMs: number;
  readonly #servers: RedisServers;
  readonly #log: OutageLog;
  readonly #onError: () => void;
  #lastError: unknown;
  /** Further commands fail at once, because most would wait in this process for longer than the timeout. */
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
        // One slow command is not an outage.
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

  /** The value of the key; undefined: none. */
  async get(key: string): Promise<SharedEntry | undefined | Unavailable> {
    return this.#try(key, redis => this.#read(redis, key));
  }

  /** Sets the value for this many milliseconds. */
  async set(key: string, text: string, ttlMs: number): Promise<void> {
    await this.#try(key, ({ keyv }) => keyv.set(tagged(key), text, Math.max(1, Math.round(ttlMs))));
  }

  async delete(keys: readonly string[]): Promise<void> {
    // One by one, because they may be on several servers. To each server they leave together.
    await Promise.all(keys.map(key => this.#try(key, ({ keyv }) => keyv.delete(tagged(key)))));
  }

  /**
   * Takes the lease of the key, to load its value.
   *
   * @param ttlMs after which the lease expires, should this process have died.
   * @returns `taken` if another process has the lease.
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

  /** Checks the lease first and the value second, so that a lease that has ended has left its value. */
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
  /** The prefix of all keys. Services with different namespaces share nothing. */
  readonly namespace: string;
  /** The time limit of each command, in milliseconds. */
  readonly timeoutMs: number;
  readonly log: Logger;
  readonly onStateChange?: (state: CircuitBreakerState) => void;
  readonly onError?: () => void;
}

export interface SharedEntry {
  readonly text: string;
  /** The milliseconds until it expires. */
  readonly leftMs: number;
}

export interface Claim {
  /** Ends the lease, unless it has expired and belongs to another process. */
  release(): Promise<void>;
}

export interface Look {
  readonly isClaimed: boolean;
  readonly entry: SharedEntry | undefined;
}

export type Unavailable = typeof UNAVAILABLE;

/** The braces give a key and its lease one slot, so they are on one server of a cluster. */
function tagged(key: string): string {
  return `{${key}}`;
}

const UNAVAILABLE = 'unavailable';
/** The most pipelined commands of one connection. Redis does some hundred thousand a second. */
const IN_FLIGHT_MAX = 1000;
