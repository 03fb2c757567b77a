import { randomUUID } from 'node:crypto';
import type { default as KeyvRedis, RedisClientType } from '@keyv/redis';
import type { Logger } from '#src/observability/logger.ts';
import { OutageLog } from '#src/observability/outage-log.ts';
import { CircuitBreaker, type CircuitBreakerState } from '#src/resilience/circuit-breaker.ts';
import { within } from '#src/resilience/within.ts';

/**
 * Text by key in Redis, for all instances. Nothing of it rejects, and nothing takes longer than the timeout: a fault of Redis is the
 * answer `unavailable`, which comes at once while there is no connection, or while the circuit breaker is open.
 *
 * It connects, and connects again, by itself; so long it loads Redis' client, which takes longer than anything else of a start, and which
 * nobody has to wait for. Commands are never kept for later.
 */
export class SharedCache implements AsyncDisposable {
  readonly #namespace: string;
  readonly #timeoutMs: number;
  readonly #breaker: CircuitBreaker;
  readonly #log: OutageLog;
  readonly #onError: () => void;
  /** Undefined until it is loaded. */
  #redis: Redis | undefined;
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
    this.#breaker = new CircuitBreaker({
      ...{ failureRate: 0.5, windowMs: 1000, minCalls: 10, consecutiveFailures: 5, openMs: 5000 },
      isFailure: () => true,
      now: () => performance.now(),
      onStateChange: state => {
        // One command that takes long is no outage.
        if (state === 'open') this.#log.begin(this.#lastError);
        options.onStateChange?.(state);
      },
    });
    this.#open(url).catch(error => this.#failed(error));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    // Not by close(), which waits for replies.
    this.#redis?.client.destroy();
  }

  /** What is under the key; undefined where nothing is. */
  async get(key: string): Promise<SharedEntry | undefined | Unavailable> {
    return this.#try(redis => this.#read(redis, key));
  }

  /** Puts it there for so many milliseconds. */
  async set(key: string, text: string, ttlMs: number): Promise<void> {
    await this.#try(({ keyv }) => keyv.set(key, text, Math.max(1, Math.round(ttlMs))));
  }

  async delete(keys: readonly string[]): Promise<void> {
    await this.#try(({ keyv }) => keyv.deleteMany([...keys]));
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
    const won = await this.#try(({ client }) =>
      client.set(lock, token, { condition: 'NX', expiration: { type: 'PX', value: ttlMs } }),
    );
    if (won === 'unavailable') return won;
    if (won === null) return 'taken';
    const release = () => this.#try(({ client }) => client.eval(RELEASE, { keys: [lock], arguments: [token] }));
    return {
      release: async () => {
        await release();
      },
    };
  }

  /** Whether somebody has claimed the key, and then what is under it: so a claim that has ended has left what it was for. */
  async look(key: string): Promise<Look | Unavailable> {
    return this.#try(async redis => {
      const [claims, entry] = await Promise.all([redis.client.exists(this.#lock(key)), this.#read(redis, key)]);
      return { isClaimed: claims > 0, entry };
    });
  }

  get state(): CircuitBreakerState {
    return this.#breaker.state;
  }

  async #open(url: string): Promise<void> {
    const { default: Adapter, createClient } = await import('@keyv/redis');
    if (this.#isDisposed) return;
    const client = createClient({
      url,
      // A command that waits for a connection would be answered when nobody wants it any more.
      disableOfflineQueue: true,
      // Without these a connection whose other end is gone is found out by nothing: a reply ends the wait for it.
      pingInterval: PING_MS,
      socket: {
        connectTimeout: CONNECT_TIMEOUT_MS,
        socketTimeout: SOCKET_TIMEOUT_MS,
        reconnectStrategy: reconnectPauseMs,
      },
    }) as RedisClientType;
    // Before it connects: an error that nobody listens to would end the process.
    client.on('error', error => this.#failed(error));
    const keyv = new Adapter<string>(client as never, { namespace: this.#namespace, throwOnErrors: true });
    keyv.on('error', () => {});
    this.#redis = { client, keyv };
    await client.connect();
  }

  async #read({ client, keyv }: Redis, key: string): Promise<SharedEntry | undefined> {
    // Sent together, in this order.
    const [text, leftMs] = await Promise.all([keyv.get(key), client.pTTL(`${this.#namespace}${SEPARATOR}${key}`)]);
    return text === undefined || leftMs < 0 ? undefined : { text, leftMs };
  }

  #lock(key: string): string {
    return `${this.#namespace}:lock${SEPARATOR}${key}`;
  }

  async #try<T>(work: (redis: Redis) => Promise<T>): Promise<T | Unavailable> {
    const redis = this.#redis;
    if (redis === undefined || this.#isDisposed || !redis.client.isReady) return UNAVAILABLE;
    // More would wait in this process, and most of them for longer than they may.
    if (this.#inFlight >= IN_FLIGHT_MAX) return UNAVAILABLE;
    this.#inFlight++;
    const attempt = () =>
      within(this.#timeoutMs, work(redis)).catch(error => {
        this.#onError();
        this.#lastError = error;
        throw error;
      });
    try {
      const result = await this.#breaker.execute(attempt);
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

interface Redis {
  readonly client: RedisClientType;
  readonly keyv: KeyvRedis<string>;
}

export type Unavailable = typeof UNAVAILABLE;

function reconnectPauseMs(failures: number): number {
  return Math.min(1000, 50 * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
}

const UNAVAILABLE = 'unavailable';
/** Commands, pipelined on one connection: Redis does some hundred thousand a second. */
const IN_FLIGHT_MAX = 1000;
/** KeyvRedis' own, between its namespace and a key. */
const SEPARATOR = '::';
const RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";
const CONNECT_TIMEOUT_MS = 1000;
/** Of a connection on which nothing comes, not even the answer to a ping. */
const SOCKET_TIMEOUT_MS = 2500;
const PING_MS = 1000;
