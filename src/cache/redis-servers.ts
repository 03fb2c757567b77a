import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { RedisClientType } from '@keyv/redis';
import { Keyv, type KeyvOptions } from 'keyv';
import { backoffMs } from '#src/async/backoff.ts';
import { withTimeout } from '#src/async/with-timeout.ts';
import { RedisLeases } from '#src/cache/redis-leases.ts';
import {
  type AskRedis,
  findShards,
  type PasswordOf,
  type RedisShard,
  SLOTS,
  slotOfKey,
} from '#src/cache/redis-topology.ts';
import { parseRedisUrl, type RedisHost, type RedisUrl } from '#src/config/redis-url.ts';
import { CircuitBreaker, type CircuitBreakerState } from '#src/resilience/circuit-breaker.ts';

/** One server with a connection that reconnects by itself. */
export interface RedisServer {
  readonly client: RedisClientType;
  readonly keyv: Keyv<string>;
  readonly leases: RedisLeases;
  readonly breaker: CircuitBreaker;
}

/**
 * The servers of a Redis, each with one connection: one server, the master that sentinels name, or the masters of a cluster.
 *
 * It searches them anew when a connection fails, when a server says that it is not the right one, and every ten seconds. Node's own clients
 * for Sentinel and Cluster queue commands during a search, so an old copy could replace a newer one. Here there is no server meanwhile.
 *
 * It loads the Redis client, which takes longer than anything else of a start, and which no call waits for.
 */
export class RedisServers implements AsyncDisposable {
  readonly #url: RedisUrl;
  readonly #options: RedisServersOptions;
  readonly #disposed = new AbortController();
  readonly #running: Promise<void>;
  readonly #servers = new Map<string, RedisServer>();
  #shards: readonly RedisShard[] = [];
  #bySlot: readonly (RedisServer | undefined)[] = [];
  /** Ends the wait for the next search. */
  #searchSoon = () => {};
  #state: CircuitBreakerState = 'closed';

  constructor(url: string, options: RedisServersOptions) {
    this.#url = parseRedisUrl(url);
    this.#options = options;
    this.#running = this.#run().catch(error => this.#failed(error));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort();
    for (const { client } of this.#servers.values()) close(client);
    await this.#running;
  }

  /** The server of a key; undefined if it is unknown, or has no connection now. */
  of(key: string): RedisServer | undefined {
    if (this.#disposed.signal.aborted) return undefined;
    const server = this.#url.kind === 'cluster' ? this.#bySlot[slotOfKey(key)] : this.#bySlot[0];
    return server?.client.isReady ? server : undefined;
  }

  /** A server has answered with an error, which may say that it is not the right one any more. */
  refused(error: unknown): void {
    if (error instanceof Error && MOVED.test(error.message)) this.#searchSoon();
  }

  /** The worst state of the breakers. */
  get state(): CircuitBreakerState {
    const states = [...this.#servers.values()].map(({ breaker }) => breaker.state);
    return STATES.find(state => states.includes(state)) ?? 'closed';
  }

  async #run(): Promise<void> {
    const { default: Adapter, createClient } = await import('@keyv/redis');
    const connect = (host: RedisHost, of: PasswordOf, socket: object) => {
      const { tls, username, password, database, sentinelPassword } = this.#url;
      const login = of === 'sentinel' ? { password: sentinelPassword } : { username, password, database };
      const client = createClient({
        ...(defined(login) as object),
        // A command that waits for a connection would be answered too late.
        disableOfflineQueue: true,
        // Without these, a dead connection would never be noticed: only a reply ends the wait for it.
        pingInterval: PING_MS,
        socket: {
          ...host,
          ...(tls ? { tls: true } : {}),
          connectTimeout: CONNECT_TIMEOUT_MS,
          socketTimeout: SOCKET_TIMEOUT_MS,
          ...socket,
        } as never,
      }) as RedisClientType;
      // Before it connects, because an error without a listener would end the process.
      client.on('error', error => {
        if (of === 'server') this.#failed(error);
      });
      return client;
    };
    const ask: AskRedis = async (host, command, of) => {
      // Opening a connection takes a millisecond of the event loop.
      const known = of === 'server' ? this.#servers.get(nameOf(host))?.client : undefined;
      if (known?.isReady) return withTimeout(CONNECT_TIMEOUT_MS, known.sendCommand([...command]));
      const client = connect(host, of, { reconnectStrategy: false });
      try {
        await client.connect();
        return await client.sendCommand([...command]);
      } finally {
        close(client);
      }
    };
    const open = (host: RedisHost): RedisServer => {
      const client = connect(host, 'server', { reconnectStrategy: reconnectPauseMs });
      const { namespace } = this.#options;
      const store = new Adapter<string>(client as never, { namespace, throwOnErrors: true });
      const keyv = new Keyv<string>({ ...PLAIN_TEXT, store, namespace, useKeyPrefix: false, throwOnErrors: true });
      // The sender of the command gets its error.
      keyv.on('error', () => {});
      void client.connect().catch(error => this.#failed(error));
      const breaker = new CircuitBreaker({
        ...BREAKER,
        now: () => performance.now(),
        isFailure: () => true,
        onStateChange: () => this.#changed(),
      });
      return { client, keyv, leases: new RedisLeases(client, store, namespace), breaker };
    };
    const { signal } = this.#disposed;
    let unchanged = 0;
    for (let turn = 0; !signal.aborted; turn++) {
      const soon = new AbortController();
      this.#searchSoon = () => soon.abort();
      let hasMoved = false;
      try {
        hasMoved = this.#become(await findShards(this.#url, this.#shards, turn, ask), open);
      } catch (error) {
        this.#failed(error);
      }
      unchanged = hasMoved ? 0 : unchanged + 1;
      const pauseMs = backoffMs(unchanged, SEARCH_PAUSE);
      // A single server is never searched again.
      if (this.#url.kind === 'server') return;
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {});
      await sleep(SEARCH_EACH_MS, undefined, { signal: AbortSignal.any([signal, soon.signal]), ref: false }).catch(
        () => {},
      );
    }
  }

  /** @returns whether they have changed. */
  #become(shards: readonly RedisShard[], open: (host: RedisHost) => RedisServer): boolean {
    if (this.#disposed.signal.aborted || isDeepStrictEqual(shards, this.#shards)) return false;
    const bySlot = new Array<RedisServer | undefined>(SLOTS);
    const kept = new Set<string>();
    for (const { host, port, slots } of shards) {
      const name = nameOf({ host, port });
      kept.add(name);
      const server = this.#servers.get(name) ?? open({ host, port });
      this.#servers.set(name, server);
      for (const [first, last] of slots) bySlot.fill(server, first, last + 1);
    }
    this.#shards = shards;
    this.#bySlot = bySlot;
    for (const [name, { client }] of this.#servers) {
      if (kept.has(name)) continue;
      this.#servers.delete(name);
      close(client);
    }
    this.#changed();
    return true;
  }

  #failed(error: unknown): void {
    if (this.#disposed.signal.aborted) return;
    this.#options.onError(error);
    this.#searchSoon();
  }

  #changed(): void {
    const { state } = this;
    if (state === this.#state) return;
    this.#state = state;
    this.#options.onStateChange(state);
  }
}

export interface RedisServersOptions {
  /** The prefix of all keys. */
  readonly namespace: string;
  /** The state of all breakers together. */
  readonly onStateChange: (state: CircuitBreakerState) => void;
  /** A connection failed, or the servers cannot be found. */
  readonly onError: (error: unknown) => void;
}

/** Not close(), which waits for replies. */
function close(client: RedisClientType): void {
  if (client.isOpen) client.destroy();
}

function nameOf({ host, port }: RedisHost): string {
  return `${host}:${port}`;
}

function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function reconnectPauseMs(failures: number): number {
  return backoffMs(failures, { initialMs: 50, maxMs: 1000 });
}

/** Values are text, and only Redis knows their expiry. Keyv would use the wall clock, which jumps. */
const PLAIN_TEXT: Pick<KeyvOptions, 'serialize' | 'deserialize'> = {
  serialize: ({ value }) => value as string,
  deserialize: text => ({ value: text as never }),
};
const BREAKER = { failureRate: 0.5, windowMs: 1000, minCalls: 10, consecutiveFailures: 5, openMs: 5000 };
/** The worst first. */
const STATES: readonly CircuitBreakerState[] = ['open', 'half-open'];
/** Errors of a server that has moved a key, or is a replica now. */
const MOVED = /^(MOVED|READONLY|CLUSTERDOWN|MASTERDOWN)\b/;
const CONNECT_TIMEOUT_MS = 1000;
/** The time limit of a connection without any reply, even to a ping. */
const SOCKET_TIMEOUT_MS = 2500;
const PING_MS = 1000;
/** The pause between two searches: longer while they find nothing new. */
const SEARCH_PAUSE = { initialMs: 125, maxMs: 1000 };
const SEARCH_EACH_MS = 10_000;
