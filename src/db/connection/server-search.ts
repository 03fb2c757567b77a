import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { backoffMs } from '#src/async/backoff.ts';
import type { SessionAttrs } from '#src/config/database-url.ts';
import {
  describeRole,
  isWanted,
  readServerRole,
  readTimeline,
  type ServerRole,
} from '#src/db/connection/server-role.ts';

export interface ServerSearch {
  /** URLs, each of one server. */
  readonly servers: readonly string[];
  readonly wanted: SessionAttrs;
  /** Whether the search goes on until a server is found. Otherwise each server is asked once. */
  readonly untilFound: boolean;
  /** The answer of a server, or why there was none, as text for the log. */
  readonly onAnswer: (server: string, answer: string, role: ServerRole | undefined) => void;
}

/**
 * Asks all servers at once for their roles, repeatedly, until one is the wanted one.
 *
 * A primary that was cut off and replaced may still say that it takes writes. So of several wanted servers, the one with the highest timeline is
 * chosen, and among equals the one that is named first. The other servers have another 100 ms to answer.
 *
 * @returns its URL; undefined if the signal aborts, or if each server was asked once and none is wanted.
 */
export async function searchServers(search: ServerSearch, signal: AbortSignal): Promise<string | undefined> {
  const ending = new AbortController();
  const asking = AbortSignal.any([signal, ending.signal]);
  const decided = Promise.withResolvers<string | undefined>();
  const answered = new Set<string>();
  const timelines = new Map<string, number>();
  let patience: NodeJS.Timeout | undefined;
  const best = () => search.servers.filter(s => timelines.has(s)).sort((a, b) => timelineOf(b) - timelineOf(a))[0];
  const timelineOf = (server: string) => timelines.get(server) ?? 0;
  const asked = search.servers.map(async server => {
    for (let n = 0; !asking.aborted; n++) {
      const timeline = await ask(server, search, asking);
      answered.add(server);
      if (timeline !== undefined) timelines.set(server, timeline);
      const isEnough = answered.size === search.servers.length && (timelines.size > 0 || !search.untilFound);
      if (isEnough) decided.resolve(best());
      else if (timelines.size > 0) patience ??= setTimeout(() => decided.resolve(best()), PATIENCE_MS);
      if (timeline !== undefined) return;
      const pauseMs = backoffMs(n, { initialMs: SHORTEST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
      await sleep(pauseMs, undefined, { signal: asking }).catch(() => {});
    }
  });
  const stop = () => decided.resolve(undefined);
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  const found = await decided.promise;
  signal.removeEventListener('abort', stop);
  clearTimeout(patience);
  ending.abort();
  await Promise.all(asked);
  return found;
}

/** The timeline of the server, if it is wanted. Never rejects. */
async function ask(server: string, search: ServerSearch, signal: AbortSignal): Promise<number | undefined> {
  const client = new pg.Client({
    connectionString: server,
    application_name: 'postservice search',
    connectionTimeoutMillis: ANSWER_MS,
  });
  client.on('error', () => {});
  // `end()` would wait for a frozen server.
  const cut = () => client.connection.stream.destroy();
  signal.addEventListener('abort', cut, { once: true });
  try {
    await client.connect();
    const role = await readServerRole(client, ANSWER_MS);
    const timeline = isWanted(role, search.wanted) ? await readTimeline(client, ANSWER_MS) : undefined;
    if (!signal.aborted) search.onAnswer(server, describeRole(role), role);
    return timeline;
  } catch (error) {
    if (!signal.aborted) search.onAnswer(server, describeError(error), undefined);
    return undefined;
  } finally {
    signal.removeEventListener('abort', cut);
    cut();
  }
}

/** A refused connection to a name with several addresses has a code and no message. */
function describeError(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || String(error);
}

/** Many times the usual answer time of a server that is up. */
const ANSWER_MS = 2000;
const PATIENCE_MS = 100;
/** The pause between questions to one server: a promotion is noticed soon, and a database in trouble is not kept busy. */
const SHORTEST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 500;
