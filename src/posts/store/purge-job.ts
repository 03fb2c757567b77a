import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Database } from '#src/db/database.ts';
import { noteDuePosts } from '#src/db/migrations/due-posts.ts';
import type { Logger } from '#src/observability/logger.ts';

/** All times in milliseconds. */
export interface PurgeOptions {
  /** The mean pause between two rounds. Each pause is random, from half to one and a half of it. */
  readonly intervalMs: number;
  /** How long changes are kept. Resume tokens are valid as long. */
  readonly changeRetentionMs: number;
  /** The most rows of one transaction. Default: 500, which hold their locks for some 10 ms. */
  readonly batchRows?: number;
}

/** How many rows a round has removed, by table. */
export type PurgedRows = Readonly<Record<'posts' | 'create_requests' | 'post_changes', number>>;

/**
 * Removes soft-deleted posts past their purge_time, request ids older than a day, and changes past their retention. Marks
 * scheduled posts that have come due, for the lists. Every instance has this job; one at a time does the work.
 *
 * It works in small transactions with pauses, so it takes at most half of one connection, and holds no lock for long.
 */
export class PurgeJob implements AsyncDisposable {
  readonly #db: Database;
  readonly #options: Required<PurgeOptions>;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  constructor(db: Database, options: PurgeOptions, log: Logger) {
    this.#db = db;
    this.#options = { batchRows: BATCH_ROWS, ...options };
    this.#log = log;
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const pauseMs = this.#options.intervalMs * (0.5 + Math.random());
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      try {
        const rows = await purge(this.#db, this.#options, signal);
        if (Object.values(rows).some(count => count > 0)) this.#log.info({ rows }, 'purged expired rows');
        await noteAllDue(this.#db, this.#options.batchRows, signal);
      } catch (error) {
        if (!signal.aborted) this.#log.warn({ err: error }, 'the purge failed: it runs again after the next interval');
      }
    }
  }
}

/**
 * Removes all rows that are due, except those that another instance is removing.
 *
 * @throws what the database throws, and the signal's reason. Batches committed before that stay removed.
 */
export async function purge(
  db: Database,
  { changeRetentionMs, batchRows = BATCH_ROWS }: Omit<PurgeOptions, 'intervalMs'>,
  signal?: AbortSignal,
): Promise<PurgedRows> {
  const removed = { posts: 0, create_requests: 0, post_changes: 0 };
  const statements = {
    posts: sql<Removed>`
      with due as (
        select id from posts where deleted and purge_time <= now() order by purge_time limit ${batchRows} for update skip locked
      ), gone as (delete from posts p using due where p.id = due.id returning 1)
      select count(*)::int as removed from gone`,
    create_requests: sql<Removed>`
      with due as (
        select request_id from create_requests where create_time < now() - ${REQUESTS_KEPT}::interval
        order by create_time limit ${batchRows}
      ), gone as (delete from create_requests r using due where r.request_id = due.request_id returning 1)
      select count(*)::int as removed from gone`,
    // From the oldest on, in the order of the primary key: a round looks at no more than one batch that is not due. A trigger notes
    // the last one for readers. What was committed beside a transaction that still runs stays: a reader who waits for that one could
    // not tell whether changes of it are gone.
    post_changes: sql<Removed>`
      with due as (
        select id from (select id, at, xid from post_changes order by id limit ${batchRows}) oldest
        where at < now() - make_interval(secs => ${changeRetentionMs / 1000})
          and xid < pg_snapshot_xmin(pg_current_snapshot())
      ), gone as (delete from post_changes c using due where c.id = due.id returning 1)
      select count(*)::int as removed from gone`,
  };
  for (const [table, statement] of Object.entries(statements) as [keyof PurgedRows, typeof statements.posts][]) {
    for (let count = batchRows; count === batchRows; removed[table] += count) {
      const startedAt = performance.now();
      count = await db.transaction().execute(async transaction => {
        const { rows } = await sql<{ mine: boolean }>`select pg_try_advisory_xact_lock(${LOCK}) as mine`.execute(
          transaction,
          { signal },
        );
        return rows[0]?.mine ? ((await statement.execute(transaction, { signal })).rows[0]?.removed ?? 0) : 0;
      });
      await sleep(performance.now() - startedAt, undefined, { signal, ref: false });
    }
  }
  return removed;
}

/** Works in batches. Two instances at once take different posts. */
async function noteAllDue(db: Database, batchRows: number, signal: AbortSignal): Promise<void> {
  for (let count = batchRows; count === batchRows && !signal.aborted; ) {
    const startedAt = performance.now();
    count = await noteDuePosts(db, batchRows, signal);
    await sleep(performance.now() - startedAt, undefined, { signal, ref: false });
  }
}

interface Removed {
  readonly removed: number;
}

const BATCH_ROWS = 500;
/** Clients retry within seconds. A day leaves time to look into a failure first. */
const REQUESTS_KEPT = '24 hours';
/** The job's advisory lock: 'post' in ASCII. */
const LOCK = 0x70_6f_73_74;
