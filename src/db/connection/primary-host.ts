import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { abortable } from '#src/async/with-timeout.ts';
import { parseDatabaseUrl, type SessionAttrs } from '#src/config/database-url.ts';
import {
  describeRole,
  isBearable,
  isWanted,
  readServerRole,
  type ServerRole,
  saysReadOnly,
  UnwantedServerError,
} from '#src/db/connection/server-role.ts';
import { searchServers } from '#src/db/connection/server-search.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import type { Logger } from '#src/observability/logger.ts';

/** Where connections go, for as long as that is right. */
export interface DatabasePlace {
  /** Of one server. */
  readonly url: string;
  /** Aborts when the server is no longer the one: who has a connection to it cuts it. */
  readonly left: AbortSignal;
}

/**
 * Finds the primary among the hosts of a database's URL, and finds it again when it has moved. All connections of a process to that
 * database share one, so that all leave a server together.
 *
 * All hosts are asked at once, so one that is dead costs nobody a timeout. A standby is left at once. A primary that was made read-only is
 * left when another server takes writes, so that reads go on meanwhile.
 *
 * A URL of one host is its own answer, and costs nothing. Its connections are only made anew where the host, a name or a virtual address,
 * leads to another server than before.
 */
export class PrimaryHost implements AsyncDisposable {
  readonly #servers: readonly string[];
  readonly #wanted: SessionAttrs;
  /** Whether each connection is asked what it leads to. */
  readonly #checks: boolean;
  readonly #log: Pick<Logger, 'info' | 'warn'> | undefined;
  readonly #ended = new AbortController();
  #found = Promise.withResolvers<DatabasePlace>();
  #place: DatabasePlace | undefined;
  #leaving = new AbortController();
  #searching: Promise<void> | undefined;
  #searchedAt = Number.NEGATIVE_INFINITY;
  /** What each host said when it was asked for the last time, in this search. */
  readonly #answers = new Map<string, HostAnswer>();

  /** It begins to look at once. @throws DatabaseUrlError where the URL is bad. */
  constructor(url: string, log?: Pick<Logger, 'info' | 'warn'>) {
    const { servers, wanted } = parseDatabaseUrl(url);
    this.#servers = servers;
    this.#wanted = wanted ?? (servers.length > 1 ? 'read-write' : 'any');
    this.#checks = servers.length > 1 || this.#wanted !== 'any';
    this.#log = log;
    const [first = url] = servers;
    if (servers.length === 1) this.#moveTo(first);
    else this.#search();
  }

  /** A URL stands for itself. */
  static of(place: string | PrimaryHost): PrimaryHost {
    return typeof place === 'string' ? new PrimaryHost(place) : place;
  }

  /** Undefined while it is looked for. */
  get place(): DatabasePlace | undefined {
    return this.#place;
  }

  /** Host and port of the place, for operators; undefined while it is looked for. */
  get server(): string | undefined {
    return this.#place && new URL(this.#place.url).host;
  }

  /** The place, as soon as it is known. @throws the signal's reason, where it aborts before. */
  async known(signal: AbortSignal): Promise<DatabasePlace> {
    signal.throwIfAborted();
    return this.#place ?? abortable(this.#found.promise, signal);
  }

  /** What to tell who needs the place while it is looked for. */
  nowhere(): DatabaseUnavailableError {
    const answers = this.#servers.map(server => {
      const { host } = new URL(server);
      return `${host}: ${this.#answers.get(host)?.words ?? 'no answer yet'}`;
    });
    const cause = new Error(answers.join('; '));
    return new DatabaseUnavailableError(`no host of the database is ${this.#wanted} now; they are asked again`, {
      cause,
    });
  }

  /**
   * Asks what a new connection has led to.
   *
   * @throws UnwantedServerError where that is no server to stay on, or was left meanwhile; what the question fails of.
   */
  async check(client: pg.ClientBase, place: DatabasePlace, withinMs: number): Promise<void> {
    if (!this.#checks) return;
    const role = await readServerRole(client, withinMs);
    if (!isBearable(role, this.#wanted)) throw new UnwantedServerError(`the server is ${describeRole(role)}`);
    if (place.left.aborted) throw new UnwantedServerError('the primary has moved');
  }

  /** A connection to a place could not be had, was lost, or leads to a server that takes no writes. */
  failed(place: DatabasePlace, error: unknown): void {
    if (place !== this.#place) return;
    const isAlone = this.#servers.length === 1;
    if (error instanceof UnwantedServerError && !isAlone) this.#leave();
    if (!isAlone || saysReadOnly(error)) this.#search();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#searching;
  }

  #search(): void {
    this.#searching ??= this.#searchOnce().finally(() => {
      this.#searching = undefined;
    });
  }

  async #searchOnce(): Promise<void> {
    const { signal } = this.#ended;
    // A server that is well, and a connection that fails: it is not asked again and again.
    const restMs = this.#searchedAt + REST_MS - performance.now();
    const noRest = AbortSignal.any([signal, this.#leaving.signal]);
    if (restMs > 0) await sleep(restMs, undefined, { signal: noRest, ref: false }).catch(() => {});
    if (signal.aborted) return;
    const isAlone = this.#servers.length === 1;
    this.#answers.clear();
    const search = {
      servers: this.#servers,
      // One host may be any server, and is asked only where a write was refused.
      wanted: isAlone ? 'read-write' : this.#wanted,
      untilFound: !isAlone,
      onAnswer: (server: string, words: string, role?: ServerRole) => {
        const isFound = role !== undefined && isWanted(role, this.#wanted);
        this.#answers.set(new URL(server).host, { words, isFound });
        if (isAlone || isFound || role === undefined) return;
        if (!isBearable(role, this.#wanted)) this.#leave(server);
        else if (this.#isMissing) this.#moveTo(server);
      },
    } as const;
    const found = await searchServers(search, signal);
    this.#searchedAt = performance.now();
    if (found !== undefined && (isAlone || found !== this.#place?.url)) this.#moveTo(found);
  }

  /** Whether there is no place, and every host had its say, and none of them is the one. */
  get #isMissing(): boolean {
    const answers = [...this.#answers.values()];
    return this.#place === undefined && answers.length === this.#servers.length && !answers.some(a => a.isFound);
  }

  #moveTo(url: string): void {
    this.#leave();
    this.#leaving = new AbortController();
    // One for each connection.
    setMaxListeners(0, this.#leaving.signal);
    this.#place = { url, left: this.#leaving.signal };
    this.#found.resolve(this.#place);
    if (this.#checks)
      this.#log?.info({ server: new URL(url).host }, 'connections go to this database server from now on');
  }

  /** Cuts all connections to the place, if it is this server. */
  #leave(server = this.#place?.url): void {
    if (this.#place === undefined || this.#place.url !== server) return;
    this.#log?.warn({ server: new URL(server).host }, 'all connections to this database server are cut');
    this.#place = undefined;
    this.#found = Promise.withResolvers();
    this.#leaving.abort();
  }
}

interface HostAnswer {
  /** For the log. */
  readonly words: string;
  /** Whether it is the wanted one. */
  readonly isFound: boolean;
}

/** At least so long between two searches, while the server seems to be well. */
const REST_MS = 1000;
