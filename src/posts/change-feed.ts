import { ListeningConnection } from '#src/db/listening-connection.ts';
import type { PrimaryHost } from '#src/db/primary-host.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { KnownTimeline } from '#src/posts/consistency-token.ts';
import { type DatabaseLife, type FeedHead, readHead, StandbyError } from '#src/posts/feed-head.ts';
import type { PostChangeBatch } from '#src/posts/post-change.ts';
import {
  OtherHistoryError,
  type PostChangePosition,
  PostChangesExpiredError,
  readPostChanges,
} from '#src/posts/post-change-query.ts';

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
  readonly #listeners = new Set<ChangeListener>();
  readonly #connection: ListeningConnection;
  readonly #log: Logger;
  readonly #poll: NodeJS.Timeout;
  readonly #run = <Row extends object>(text: string, values: readonly unknown[]) =>
    this.#connection.query<Row>(text, values);
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
  #announceAgain = false;
  #reading = false;
  #again = false;
  #wasLost = false;

  /**
   * @param primary where it is, or its URL.
   */
  constructor(primary: string | PrimaryHost, log: Logger, options: ChangeFeedOptions = {}) {
    this.#log = log;
    this.#options = options;
    this.#connection = new ListeningConnection(primary, {
      channel: CHANNEL,
      timeoutMs: TIMEOUT_MS,
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

  /** What the primary has noted of its history; undefined before the first reading. */
  get note(): string | undefined {
    return this.#life?.name;
  }

  /** For how long nothing is known of changes, in milliseconds: some hundred at most while all is well. */
  get lagMs(): number {
    return performance.now() - this.#freshAt;
  }

  /** This process has committed a write: the feeds of all instances, this one's too, look for it now. */
  announce(): void {
    if (this.#announcing !== undefined) {
      this.#announceAgain = true;
      return;
    }
    // Not each write: a notification costs every instance a look.
    this.#announcing = setTimeout(() => {
      this.#announcing = undefined;
      if (this.#announceAgain) this.announce();
    }, ANNOUNCE_MS).unref();
    this.#announceAgain = false;
    this.#run(ANNOUNCEMENT, [CHANNEL])
      // While its own connection is lost, those of others may be back.
      .catch(() => this.#options.announceElsewhere?.(ANNOUNCEMENT, [CHANNEL]))
      // Those that listen look by themselves soon.
      .catch(error => this.#log.debug({ err: error }, 'a write could not be announced'));
  }

  /** @returns what ends it. */
  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll);
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
    } while (this.#again);
    if (this.#wasLost) this.#log.info('the change feed has caught up');
    this.#wasLost = false;
  }

  async #readOnce(): Promise<void> {
    const from = this.#position;
    if (from === undefined) {
      const head = await readHead(this.#run);
      this.#meet(head.life);
      return this.#standAt(head);
    }
    let position = from;
    for (;;) {
      let batch: PostChangeBatch & { readonly head: FeedHead };
      try {
        batch = await readPostChanges(this.#run, position, BATCH_CHANGES);
      } catch (error) {
        if (!(error instanceof PostChangesExpiredError)) throw error;
        this.#log.warn({ err: error }, 'the change feed has missed changes: watches that are open end');
        const head = await readHead(this.#run);
        // Whatever it says of itself: where the table alone was restored, or a machine with its memory, it is the same life by name.
        if (error instanceof OtherHistoryError) this.#life = undefined;
        this.#meet(head.life);
        this.#standAt(head);
        for (const listener of this.#listeners) listener.onGap(head.taken);
        return;
      }
      this.#meet(batch.head.life);
      const { to, proof, complete, changes } = batch;
      position = complete ? { from: to, proof } : { from: from.from, to, proof, afterId: changes.at(-1)?.id };
      if (complete) this.#position = position;
      for (const listener of this.#listeners) listener.onBatch(batch);
      if (complete) return;
    }
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

  #standAt({ place, proof, wasReset }: FeedHead): void {
    this.#position = { from: place, proof };
    if (wasReset) this.#log.warn('the database was restored, or merged with another one: its change feed begins anew');
  }
}

export interface ChangeFeedOptions {
  /** Called where another era follows the first one: connections to what was the primary may still be open. */
  readonly onNewEra?: () => void;
  /** Runs a statement on another connection. */
  readonly announceElsewhere?: (text: string, values: readonly unknown[]) => Promise<unknown>;
}

const BATCH_CHANGES = 1000;
const CHANNEL = 'post_changes';
const ANNOUNCEMENT = "select pg_notify($1, '')";
/** Writes within this of an announcement share the next one. */
const ANNOUNCE_MS = 5;
/** For what nobody announces: edits by hand, an instance that died after its commit, a pooler that loses notifications. */
const POLL_MS = 100;
const TIMEOUT_MS = 2000;
