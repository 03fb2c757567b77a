import { setTimeout as sleep } from 'node:timers/promises';
import { ListeningConnection } from '#src/db/connection/listening-connection.ts';
import type { PrimaryHost } from '#src/db/connection/primary-host.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import type { Logger } from '#src/observability/logger.ts';
import { EraTracker, type EraTrackerOptions } from '#src/posts/feed/era-tracker.ts';
import { type FeedEnd, FeedEnds } from '#src/posts/feed/feed-ends.ts';
import { type DatabaseLife, type FeedHead, readHead, StandbyError } from '#src/posts/feed/feed-head.ts';
import type { ChangeListener } from '#src/posts/feed/post-change.ts';
import {
  OtherHistoryError,
  orExpired,
  type PostChangePosition,
  PostChangesExpiredError,
  placeBehind,
  placeOf,
} from '#src/posts/feed/post-change-position.ts';
import { readPostChanges } from '#src/posts/feed/post-change-query.ts';
import { readBefore } from '#src/posts/feed/read-before.ts';
import { RECENT_CHANGES, RecentChanges } from '#src/posts/feed/recent-changes.ts';
import { WriteAnnouncer } from '#src/posts/feed/write-announcer.ts';
import type { KnownTimeline } from '#src/posts/tokens/consistency-token.ts';

/**
 * Reads every change of a post a few milliseconds after its commit, over one connection for all listeners of this process.
 *
 * It polls the table, and reads at once when an instance announces a write. So a lost announcement or connection delays changes, and
 * loses none.
 */
export class ChangeFeed implements KnownTimeline, AsyncDisposable {
  /** The changes that it read last. */
  readonly recent = new RecentChanges(RECENT_CHANGES);
  readonly #listeners = new Set<ChangeListener>();
  readonly #connection: ListeningConnection;
  readonly #log: Logger;
  readonly #poll: NodeJS.Timeout;
  readonly #run = <Row extends object>(text: string, values: readonly unknown[], name?: string) =>
    this.#connection.query<Row>(text, values, name);
  #position: PostChangePosition | undefined;
  readonly #eras: EraTracker;
  readonly #announcer: WriteAnnouncer;
  readonly #ends = new FeedEnds(TIMEOUT_MS);
  #freshAt = Number.NEGATIVE_INFINITY;
  readonly #ended = new AbortController();
  #reading = false;
  #again = false;
  #wasLost = false;
  #lookingBack: Promise<void> | undefined;
  #sinceMark = 0;

  constructor(primary: string | PrimaryHost, log: Logger, options: ChangeFeedOptions = {}) {
    this.#log = log;
    this.#announcer = new WriteAnnouncer(CHANNEL, this.#run, options.announceElsewhere, log);
    const reconnect = (reason: string) => this.#connection.drop(new Error(reason));
    this.#eras = new EraTracker(log, { onNewEra: () => options.onNewEra?.(), reconnect });
    this.#connection = new ListeningConnection(primary, {
      channel: CHANNEL,
      timeoutMs: TIMEOUT_MS,
      preparesStatements: options.preparesStatements ?? false,
      onConnect: () => {
        this.#eras.connected();
        this.#read();
      },
      onNotify: () => this.#read(),
      onLost: error => {
        this.#eras.cut();
        if (!this.#wasLost) log.warn({ err: error }, 'the change feed has lost its connection, and reconnects');
        this.#wasLost = true;
      },
    });
    this.#poll = setInterval(() => this.#read(), POLL_MS).unref();
  }

  /** Listeners have heard of all changes that this snapshot sees; undefined before the first reading. */
  get snapshot(): Snapshot | undefined {
    return this.#position?.from;
  }

  /** The era of the primary (EraTracker); undefined while the feed is cut. */
  get era(): number | undefined {
    return this.#eras.current;
  }

  /** The last known era, also while the feed is cut; 0 before the first one. */
  get lastEra(): number {
    return this.#eras.last;
  }

  /** The primary's life at the last reading; undefined before the first one. */
  get life(): DatabaseLife | undefined {
    return this.#eras.life;
  }

  get timeline(): number | undefined {
    return this.life?.timeline;
  }

  isSurpassedBy(timeline: number): boolean {
    return this.#eras.isSurpassedBy(timeline);
  }

  /** Another connection has found this life of the database. If the feed knows another one, it reconnects: it may read an old primary. */
  met(life: string): void {
    this.#eras.metElsewhere(life);
  }

  /** What a replica must show before it serves: the name of the life. Undefined before the first reading. */
  get note(): string | undefined {
    return this.life?.name;
  }

  /** Milliseconds since the start of the last successful reading: at most some hundred in normal operation. */
  get lagMs(): number {
    return performance.now() - this.#freshAt;
  }

  /**
   * A position that has seen all that was committed before this call. Callers at about the same time share one reading.
   *
   * @throws DatabaseUnavailableError if the feed has no connection, and gets none within two seconds.
   */
  end(): Promise<FeedEnd> {
    const end = this.#ends.next();
    this.#read();
    return end;
  }

  /** Reads the changes before `recent` once, for watchers that resume after a start of this process. A failure changes nothing. */
  lookBack(): Promise<void> {
    this.#lookingBack ??= readBefore(this.#run, this.recent).catch(error => {
      this.#lookingBack = undefined;
      this.#log.debug({ err: error }, 'the change feed could not look back');
    });
    return this.#lookingBack;
  }

  /** This process has committed a write. The feeds of all instances read it now. */
  announce(): void {
    this.#announcer.announce();
  }

  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll);
    this.#ended.abort();
    this.#announcer[Symbol.dispose]();
    this.#listeners.clear();
    await this.#connection[Symbol.asyncDispose]();
  }

  /** One reading at a time. Requests during a reading cause one more. */
  #read(): void {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    this.#readAll()
      .catch(error => {
        // The connection reports its own loss. Reading goes on when it is back.
        this.#log.debug({ err: error }, 'the change feed could not be read');
        if (error instanceof StandbyError) this.#connection.drop(error);
      })
      .finally(() => {
        this.#reading = false;
        if (this.#again) this.#read();
      });
  }

  async #readAll(): Promise<void> {
    do {
      this.#again = false;
      const startedAt = performance.now();
      await this.#readOnce();
      this.#eras.resume();
      this.#freshAt = startedAt;
      if (this.#wasLost) this.#log.info('the change feed has caught up');
      this.#wasLost = false;
      // Slow readings mean a busy database, which the feed must not keep busy.
      const restMs = Math.min(REST_SHARE * (performance.now() - startedAt), REST_MOST_MS);
      if (this.#again) await sleep(restMs, undefined, { signal: this.#ended.signal, ref: false });
    } while (this.#again);
  }

  async #readOnce(): Promise<void> {
    if (this.#position === undefined) return this.#standAt(await this.#ends.answer(() => readHead(this.#run)));
    let position = this.#position;
    for (;;) {
      const batch = await this.#ends.answer(() => readPostChanges(this.#run, position)).catch(orExpired);
      if (batch instanceof PostChangesExpiredError) return this.#restart(batch);
      const era = this.#eras.last;
      this.#eras.meet(batch.head.life);
      // Thousands of listeners need not hear ten times a second that nothing has happened.
      const isNew = this.#eras.last !== era || batch.changes.length > 0 || batch.to.text !== batch.from.text;
      if (batch.complete && !isNew) return;
      position = placeBehind(batch, position);
      if (batch.complete) this.#position = position;
      this.recent.add(batch);
      for (const listener of this.#listeners) listener.onBatch(batch);
      this.#sinceMark += batch.changes.length;
      if (this.#sinceMark >= MARK_CHANGES) {
        this.#sinceMark = 0;
        const noMark = (error: unknown) => this.#log.debug({ err: error }, 'the change feed could not be marked');
        await this.#run('select post_changes_mark($1)', [MARK_CHANGES]).catch(noMark);
      }
      if (batch.complete) return;
    }
  }

  /** Begins anew at the feed's end, and tells listeners of the gap. */
  async #restart(error: PostChangesExpiredError): Promise<void> {
    this.#log.warn({ err: error }, 'the change feed has missed changes: watches that are open end');
    this.recent.restart(undefined);
    const head = await this.#ends.answer(() => readHead(this.#run));
    // The name of the life may be the same: the table alone was restored, or a machine with its memory.
    if (error instanceof OtherHistoryError) this.#eras.forgetLife();
    this.#standAt(head);
    for (const listener of this.#listeners) listener.onGap(head.taken);
  }

  #standAt(head: FeedHead): void {
    this.#eras.meet(head.life);
    this.#position = placeOf(head);
    this.recent.restart(this.#position);
    this.#lookingBack = undefined;
    if (head.wasReset)
      this.#log.warn('the database was restored, or merged with another one: its change feed begins anew');
  }
}

export interface ChangeFeedOptions extends Partial<Pick<EraTrackerOptions, 'onNewEra'>> {
  /** Runs a statement on another connection. */
  readonly announceElsewhere?: (text: string, values: readonly unknown[]) => Promise<unknown>;
  /** Whether statements are prepared by name, which some poolers do not support. Default: false. */
  readonly preparesStatements?: boolean;
}

/** The most changes that a watcher far behind reads in vain (src/db/migrations/0006-post-change-marks.ts). */
const MARK_CHANGES = 5000;
const CHANNEL = 'post_changes';
/** Finds what nobody announces: edits by hand, writes of an instance that died after its commit, notifications that a pooler lost. */
const POLL_MS = 100;
const TIMEOUT_MS = 2000;
/** A busy feed rests for ten times its last reading, at most 50 ms. */
const REST_SHARE = 10;
const REST_MOST_MS = 50;
