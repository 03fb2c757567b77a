import { setTimeout as sleep } from 'node:timers/promises';
import { TimeoutError, withTimeout } from '#src/async/with-timeout.ts';
import { ListeningConnection } from '#src/db/connection/listening-connection.ts';
import type { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import type { Logger } from '#src/observability/logger.ts';
import { type DatabaseLife, type FeedHead, readHead, StandbyError } from '#src/posts/feed/feed-head.ts';
import type { PostChange, PostChangeBatch } from '#src/posts/feed/post-change.ts';
import {
  OtherHistoryError,
  type PostChangePosition,
  PostChangesExpiredError,
  placeBehind,
  placeOf,
  readPlaceBefore,
  readPostChanges,
} from '#src/posts/feed/post-change-query.ts';
import { RecentChanges } from '#src/posts/feed/recent-changes.ts';
import type { KnownTimeline } from '#src/posts/tokens/consistency-token.ts';

/** Who is told of changes. Listeners do no work that takes long, and throw nothing. */
export interface ChangeListener {
  /** Every batch once, in order. */
  onBatch(batch: PostChangeBatch): void;
  /** Changes up to this snapshot were missed, and can't be had any more. */
  onGap(upTo: Snapshot): void;
}

/**
 * Every change of a post, told to this process a few milliseconds after its commit: one connection for all who listen.
 *
 * It looks into the table from time to time, and at once when an instance announces that it has written. So a lost announcement, or a
 * lost connection, delays changes and loses none.
 */
export class ChangeFeed implements KnownTimeline, AsyncDisposable {
  /** What it has told lately. */
  readonly recent = new RecentChanges(RECENT_CHANGES);
  readonly #listeners = new Set<ChangeListener>();
  readonly #connection: ListeningConnection;
  readonly #log: Logger;
  readonly #poll: NodeJS.Timeout;
  readonly #run = <Row extends object>(text: string, values: readonly unknown[], name?: string) =>
    this.#connection.query<Row>(text, values, name);
  #position: PostChangePosition | undefined;
  #life: DatabaseLife | undefined;
  #era = 0;
  #isCut = true;
  /** The connection was lost since its life was read: one that does not tell all of itself may be another one. */
  #isUnmet = true;
  readonly #options: ChangeFeedOptions;
  /** Later timelines up to this one were heard of, and the primary was looked for since. */
  #soughtTimeline = 0;
  #seekingTimeline = 0;
  #freshAt = Number.NEGATIVE_INFINITY;
  #announcing: NodeJS.Timeout | undefined;
  #isAnnouncing = false;
  #announceAgain = false;
  readonly #ended = new AbortController();
  #reading = false;
  #again = false;
  #wasLost = false;
  /** Who wants to know where the feed ends, by a look that begins from now on. */
  #asking: ((end: FeedEnd) => void)[] = [];
  #lookingBack: Promise<void> | undefined;
  #sinceMark = 0;
  #metElsewhere: string | undefined;

  /**
   * @param primary where it is, or its URL.
   */
  constructor(primary: string | PrimaryHost, log: Logger, options: ChangeFeedOptions = {}) {
    this.#log = log;
    this.#options = options;
    this.#connection = new ListeningConnection(primary, {
      channel: CHANNEL,
      timeoutMs: TIMEOUT_MS,
      preparesStatements: options.preparesStatements ?? false,
      onConnect: () => {
        this.#soughtTimeline = this.#seekingTimeline;
        this.#read();
      },
      onNotify: () => this.#read(),
      onLost: error => {
        this.#isCut = true;
        this.#isUnmet = true;
        if (!this.#wasLost)
          log.warn({ err: error }, 'the change feed has lost its connection, and tries to get it again');
        this.#wasLost = true;
      },
    });
    this.#poll = setInterval(() => this.#read(), POLL_MS).unref();
  }

  /** Listeners have been told of all that it has seen; undefined until there was a connection. */
  get snapshot(): Snapshot | undefined {
    return this.#position?.from;
  }

  /**
   * Counts the lives of the primary that it has seen. Within one, transaction ids and snapshots mean the same; between two, nothing may be
   * compared. Undefined from the moment that the connection is lost until it has caught up again: it may be another life by then.
   */
  get era(): number | undefined {
    return this.#isCut ? undefined : this.#era;
  }

  /** The same, whether it goes on or not; 0 before the first one. */
  get lastEra(): number {
    return this.#era;
  }

  /** Of the primary, as it was when the feed was read last; undefined before. */
  get life(): DatabaseLife | undefined {
    return this.#life;
  }

  get timeline(): number | undefined {
    return this.#life?.timeline;
  }

  isSurpassedBy(timeline: number): boolean {
    const known = this.timeline;
    if (known === undefined || timeline <= known) return false;
    if (this.#isCut) return true;
    if (timeline <= this.#soughtTimeline) return false;
    this.#seekingTimeline = timeline;
    this.#connection.drop(new Error('another primary was promoted since: the address may lead to it'));
    return true;
  }

  /**
   * Another connection has led to this life of the database. Where the feed knows another one, its server may be the primary no more: it
   * connects anew, to where the address leads now. Once for each life, since the other connection may be the old one.
   */
  met(life: string): void {
    if (this.#isCut || this.#life === undefined || life === this.#life.name || life === this.#metElsewhere) return;
    this.#metElsewhere = life;
    this.#connection.drop(new Error('another connection has led to another life of the database'));
  }

  /** What the primary has noted of its history; undefined before the first reading. */
  get note(): string | undefined {
    return this.#life?.name;
  }

  /** For how long nothing is known of changes, in milliseconds: some hundred at most while all is well. */
  get lagMs(): number {
    return performance.now() - this.#freshAt;
  }

  /**
   * Where the feed ends now: a place that has seen all that was committed before this call. All who ask at about the same time share one
   * look on the feed's own connection.
   *
   * @throws DatabaseUnavailableError where the feed has no connection, and gets none soon.
   */
  async end(): Promise<FeedEnd> {
    const { promise, resolve } = Promise.withResolvers<FeedEnd>();
    this.#asking.push(resolve);
    this.#read();
    try {
      return await withTimeout(TIMEOUT_MS, promise);
    } catch (error) {
      this.#asking = this.#asking.filter(asking => asking !== resolve);
      if (!(error instanceof TimeoutError)) throw error;
      throw new DatabaseUnavailableError('the change feed is cut off from the database');
    }
  }

  /**
   * Reads into `recent` what came before it, once for all who ask: for those who resume after a start of this process. It changes nothing
   * where that can't be had.
   */
  lookBack(): Promise<void> {
    this.#lookingBack ??= this.#lookBack().catch(error => {
      this.#lookingBack = undefined;
      this.#log.debug({ err: error }, 'the change feed could not look back');
    });
    return this.#lookingBack;
  }

  /** This process has committed a write: the feeds of all instances, this one's too, look for it now. */
  announce(): void {
    if (this.#isAnnouncing) {
      this.#announceAgain = true;
      return;
    }
    this.#isAnnouncing = true;
    this.#announceAgain = false;
    this.#run(ANNOUNCEMENT, [CHANNEL])
      // While its own connection is lost, those of others may be back.
      .catch(() => this.#options.announceElsewhere?.(ANNOUNCEMENT, [CHANNEL]))
      // Those that listen look by themselves soon.
      .catch(error => this.#log.debug({ err: error }, 'a write could not be announced'))
      // Not each write: a notification costs every instance a look, and more where the database is busy.
      .finally(() => {
        this.#announcing = setTimeout(() => {
          this.#isAnnouncing = false;
          if (this.#announceAgain) this.announce();
        }, ANNOUNCE_MS).unref();
      });
  }

  /** @returns what ends it. */
  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll);
    this.#ended.abort();
    clearTimeout(this.#announcing);
    this.#listeners.clear();
    await this.#connection[Symbol.asyncDispose]();
  }

  /** One reading at a time; what is asked for meanwhile is one more. */
  #read(): void {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    this.#readAll()
      // The connection is lost, which it says itself, and reading goes on when it is back.
      .catch(error => {
        this.#log.debug({ err: error }, 'the change feed could not be read');
        // The address leads to another server, or will soon.
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
      this.#isCut = false;
      this.#freshAt = startedAt;
      if (this.#wasLost) this.#log.info('the change feed has caught up');
      this.#wasLost = false;
      // Where readings take long, since the database is busy, they are not to keep it busy.
      const restMs = Math.min(REST_SHARE * (performance.now() - startedAt), REST_MOST_MS);
      if (this.#again) await sleep(restMs, undefined, { signal: this.#ended.signal, ref: false });
    } while (this.#again);
  }

  async #readOnce(): Promise<void> {
    if (this.#position === undefined) return this.#standAt(await this.#answering(() => readHead(this.#run)));
    let position = this.#position;
    for (;;) {
      let batch: PostChangeBatch & { readonly head: FeedHead };
      try {
        batch = await this.#answering(() => readPostChanges(this.#run, position));
      } catch (error) {
        if (!(error instanceof PostChangesExpiredError)) throw error;
        this.#log.warn({ err: error }, 'the change feed has missed changes: watches that are open end');
        this.recent.restart(undefined);
        const head = await this.#answering(() => readHead(this.#run));
        // Whatever it says of itself: where the table alone was restored, or a machine with its memory, it is the same life by name.
        if (error instanceof OtherHistoryError) this.#life = undefined;
        this.#standAt(head);
        for (const listener of this.#listeners) listener.onGap(head.taken);
        return;
      }
      const era = this.#era;
      this.#meet(batch.head.life);
      // Nothing has happened, of which thousands of listeners need not hear ten times a second.
      const isNew = this.#era !== era || batch.changes.length > 0 || batch.to.text !== batch.from.text;
      if (batch.complete && !isNew) return;
      position = placeBehind(batch, position);
      if (batch.complete) this.#position = position;
      this.recent.add(batch);
      for (const listener of this.#listeners) listener.onBatch(batch);
      this.#sinceMark += batch.changes.length;
      if (this.#sinceMark >= MARK_CHANGES) await this.#mark();
      if (batch.complete) return;
    }
  }

  /** Does a look, which answers those who have asked before it began. Where it fails they wait for the next one. */
  async #answering<T extends FeedHead | { readonly head: FeedHead }>(look: () => Promise<T>): Promise<T> {
    const asking = new Set(this.#asking);
    const found = await look();
    const head: FeedHead = 'head' in found ? found.head : found;
    const end = { position: placeOf(head), life: head.life.name };
    this.#asking = this.#asking.filter(resolve => !asking.has(resolve));
    for (const resolve of asking) resolve(end);
    return found;
  }

  /** So that who is far behind begins near where it stands: see src/db/migrations/0006-post-change-marks.ts. */
  async #mark(): Promise<void> {
    this.#sinceMark = 0;
    try {
      await this.#run('select post_changes_mark($1)', [MARK_CHANGES]);
    } catch (error) {
      this.#log.debug({ err: error }, 'the change feed could not be marked');
    }
  }

  async #lookBack(): Promise<void> {
    const { start, size } = this.recent;
    if (start === undefined) throw new Error('the change feed has not been read yet');
    if (size > RECENT_CHANGES / 2) return;
    const first = await readPlaceBefore(this.#run, start, RECENT_CHANGES / 2);
    const changes: PostChange[] = [];
    let position = first;
    for (let complete = false; !complete; ) {
      const batch = await readPostChanges(this.#run, position);
      changes.push(...batch.changes);
      position = placeBehind(batch, position);
      complete = batch.complete;
    }
    // Unless it has begun anew, or has dropped its oldest, meanwhile.
    if (this.recent.start === start) this.recent.addBefore({ from: first.from }, changes);
  }

  /** Notes the life that was read in, before anybody is told what was read. */
  #meet(life: DatabaseLife): void {
    const isSame = life.name === this.#life?.name && (life.isWhole || !this.#isUnmet);
    this.#life = life;
    this.#isUnmet = false;
    if (isSame) return;
    this.#isCut = true;
    this.#era++;
    if (this.#era === 1) return;
    this.#log.info({ era: this.#era }, 'the database has another life: what was cached before is used no more');
    this.#options.onNewEra?.();
  }

  #standAt(head: FeedHead): void {
    this.#meet(head.life);
    this.#position = placeOf(head);
    this.recent.restart(this.#position);
    this.#lookingBack = undefined;
    if (head.wasReset)
      this.#log.warn('the database was restored, or merged with another one: its change feed begins anew');
  }
}

/** Where the feed ended when it was looked at. */
export interface FeedEnd {
  readonly position: PostChangePosition;
  /** The name of the life that it was read in. */
  readonly life: string;
}

export interface ChangeFeedOptions {
  /** Called where another era follows the first one: connections to what was the primary may still be open. */
  readonly onNewEra?: () => void;
  /** Runs a statement on another connection. */
  readonly announceElsewhere?: (text: string, values: readonly unknown[]) => Promise<unknown>;
  /** Whether its statements are parsed once: not every pooler keeps them. Default: no. */
  readonly preparesStatements?: boolean;
}

/** About 5 MB: of the last seconds at the most writes, and of the last minutes else. */
const RECENT_CHANGES = 4000;
/** Who is far behind looks at so many in vain. */
const MARK_CHANGES = 5000;
const CHANNEL = 'post_changes';
const ANNOUNCEMENT = "select pg_notify($1, '')";
/** Writes within this of the end of an announcement share the next one. */
const ANNOUNCE_MS = 5;
/** For what nobody announces: edits by hand, an instance that died after its commit, a pooler that loses notifications. */
const POLL_MS = 100;
const TIMEOUT_MS = 2000;
/** Of what a reading took. */
const REST_SHARE = 10;
const REST_MOST_MS = 50;
