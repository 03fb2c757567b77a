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

/** The server to which connections go now. */
export interface DatabasePlace {
  /** The URL of one server. */
  readonly url: string;
  /** Aborts when the server is not the primary any more. Its connections must be cut then. */
  readonly left: AbortSignal;
}

/**
 * Finds the primary among the hosts of a database's URL, and finds it again after it has moved. All connections of a process to that database
 * share one PrimaryHost, so that all leave a server together.
 *
 * It asks all hosts at once, so a dead one costs no timeout. It leaves a standby at once. It leaves a primary that was made read-only only when
 * another server takes writes, so that reads go on meanwhile.
 *
 * With one host there is nothing to search. Connections are replaced only when that host, a name or a virtual address, leads to another
 * server than before.
 */
export class PrimaryHost implements AsyncDisposable {
  readonly #servers: readonly string[];
  readonly #wanted: SessionAttrs;
  /** Whether each new connection is asked for the role of its server. */
  readonly #checks: boolean;
  readonly #log: Pick<Logger, 'info' | 'warn'> | undefined;
  readonly #ended = new AbortController();
  #found = Promise.withResolvers<DatabasePlace>();
  #place: DatabasePlace | undefined;
  #leaving = new AbortController();
  #searching: Promise<void> | undefined;
  #searchedAt = Number.NEGATIVE_INFINITY;
  /** The last answer of each host in this search. */
  readonly #answers = new Map<string, HostAnswer>();

  /** Begins the search at once. @throws DatabaseUrlError if the URL is not valid. */
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

  /** A host for a URL, or the host itself. */
  static of(place: string | PrimaryHost): PrimaryHost {
    return typeof place === 'string' ? new PrimaryHost(place) : place;
  }

  /** Undefined during a search. */
  get place(): DatabasePlace | undefined {
    return this.#place;
  }

  /** Host and port of the primary, for operators; undefined during a search. */
  get server(): string | undefined {
    return this.#place && new URL(this.#place.url).host;
  }

  /** The place, as soon as it is known. @throws the signal's reason, if that aborts first. */
  async known(signal: AbortSignal): Promise<DatabasePlace> {
    signal.throwIfAborted();
    return this.#place ?? abortable(this.#found.promise, signal);
  }

  /** The error of calls that need the primary during a search. */
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
   * Asks a new connection for the role of its server.
   *
   * @throws UnwantedServerError if connections must not stay on that server, or it was left meanwhile; the error of the question.
   */
  async check(client: pg.ClientBase, place: DatabasePlace, withinMs: number): Promise<void> {
    if (!this.#checks) return;
    const role = await readServerRole(client, withinMs);
    if (!isBearable(role, this.#wanted)) throw new UnwantedServerError(`the server is ${describeRole(role)}`);
    if (place.left.aborted) throw new UnwantedServerError('the primary has moved');
  }

  /** A connection to a place could not be opened, was lost, or leads to a server that takes no writes. */
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
    // The server is well, and a connection failed: do not ask again and again.
    const restMs = this.#searchedAt + REST_MS - performance.now();
    const noRest = AbortSignal.any([signal, this.#leaving.signal]);
    if (restMs > 0) await sleep(restMs, undefined, { signal: noRest, ref: false }).catch(() => {});
    if (signal.aborted) return;
    const isAlone = this.#servers.length === 1;
    this.#answers.clear();
    const search = {
      servers: this.#servers,
      // A single host may be any server. It is asked only after a refused write.
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

  /** Whether every host has answered, and none of them is wanted. */
  get #isMissing(): boolean {
    const answers = [...this.#answers.values()];
    return this.#place === undefined && answers.length === this.#servers.length && !answers.some(a => a.isFound);
  }

  #moveTo(url: string): void {
    this.#leave();
    this.#leaving = new AbortController();
    // One listener for each connection.
    setMaxListeners(0, this.#leaving.signal);
    this.#place = { url, left: this.#leaving.signal };
    this.#found.resolve(this.#place);
    if (this.#checks)
      this.#log?.info({ server: new URL(url).host }, 'connections go to this database server from now on');
  }

  /** Cuts all connections to this server, if it is the present place. */
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
  /** Whether it is wanted. */
  readonly isFound: boolean;
}

/** The shortest time between two searches while the server seems to be well. */
const REST_MS = 1000;
