import { LoopTurn } from '#src/async/loop-turn.ts';
import { abortable } from '#src/async/with-timeout.ts';
import type { Database } from '#src/db/database.ts';
import { type CatchUpOptions, CatchUps } from '#src/posts/feed/catch-ups.ts';
import { Alarm, ChangeBuffer } from '#src/posts/feed/change-buffer.ts';
import type { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { FeedEnd } from '#src/posts/feed/feed-ends.ts';
import { Heartbeat } from '#src/posts/feed/heartbeat.ts';
import { type ChangeFilter, isWanted, type PostChange, type PostChangeBatch } from '#src/posts/feed/post-change.ts';
import { type PostChangePosition, placeBehind } from '#src/posts/feed/post-change-position.ts';
import type { AdmissionState } from '#src/resilience/admission.ts';

/** A position in the feed, with the change before it. Without a change it is a heartbeat. */
export interface WatchedPlace {
  readonly position: PostChangePosition;
  readonly change: PostChange | undefined;
}

export type WatchFilter = ChangeFilter;

/** The watcher has left too much unread, and must resume from its last token. */
export class WatcherTooSlowError extends Error {
  override readonly name = 'WatcherTooSlowError';
}

/** The part of the change feed that watches use. */
export type WatchedFeed = Pick<ChangeFeed, 'listen' | 'end' | 'era' | 'lookBack' | 'met' | 'recent'>;

/**
 * Streams of changes. Each watcher gets every change once, from its position on, as fast as it reads.
 *
 * The one reading of the feed serves all watchers that keep up, and those that begin within its recent changes. The database serves those
 * that are further behind, until they have caught up.
 */
export class PostWatches {
  readonly #feed: WatchedFeed;
  readonly #catchUps: CatchUps;
  readonly #options: Required<WatchOptions>;
  readonly #stopping = new AbortController();
  /** The open watches. Thousands of listeners on one signal would make each new one compare itself with all. */
  readonly #alarms = new Set<Alarm>();
  readonly #turn = new LoopTurn();

  /** @param db over CATCH_UPS_AT_ONCE connections of its own. */
  constructor(feed: WatchedFeed, db: Database, options: WatchOptions & CatchUpOptions = {}) {
    this.#feed = feed;
    this.#catchUps = new CatchUps(db, options);
    this.#options = { ...DEFAULTS, ...options };
  }

  /** The state of catch-ups, in batches. */
  get catchUps(): AdmissionState {
    return this.#catchUps.state;
  }

  /** Ends all watches, each after a last position. */
  stop(): void {
    this.#stopping.abort();
    for (const alarm of this.#alarms) alarm.ring();
  }

  /**
   * @param start the position to continue from; undefined: now. The first position comes at once.
   * @throws PostChangesExpiredError; WatcherTooSlowError; errors of the database during a catch-up; OverloadedError if catch-ups are shed;
   *   the signal's reason.
   */
  async *watch(
    start: PostChangePosition | undefined,
    filter: WatchFilter,
    signal: AbortSignal,
  ): AsyncGenerator<WatchedPlace> {
    const { now, heartbeatMs, stalledMs, bufferChanges } = this.#options;
    const stopping = this.#stopping.signal;
    using parts = new DisposableStack();
    const alarm = parts.use(new Alarm(signal));
    this.#alarms.add(alarm);
    parts.defer(() => this.#alarms.delete(alarm));
    // Before the database is read, so that later commits are not missed.
    const inbox = parts.use(new ChangeBuffer(this.#feed, bufferChanges, alarm.ring));
    const end = start === undefined ? await abortable(this.#feed.end(), signal) : undefined;
    let position = start ?? (end as FeedEnd).position;
    // Undefined: the feed itself has passed this position, which proves it in each life.
    let readIn = end?.life;
    let isBehind = start !== undefined;
    yield { position, change: undefined };
    const heartbeat = new Heartbeat(heartbeatMs, now);

    while (!stopping.aborted) {
      signal.throwIfAborted();
      if (inbox.hasHole) {
        inbox.acknowledgeHole();
        isBehind = true;
      }
      const batch = isBehind ? yield* this.#catchUp(position, filter, signal, alarm, heartbeat) : inbox.take();
      await this.#turn.rest();
      if (isBehind && batch === undefined) break;
      if (batch !== undefined && !isBehind && readIn !== undefined && batch.life !== readIn) {
        // The position may be beyond what remains of its history.
        isBehind = true;
        continue;
      }
      if (batch !== undefined && !isBehind && !joins(batch, position)) {
        isBehind = !hasRead(batch, position);
        continue;
      }
      if (batch !== undefined) readIn = isBehind ? batch.life : undefined;
      // The rest of a token's batch comes first, and then what came after it.
      if (isBehind) isBehind = position.to !== undefined || batch?.complete === false;
      const behind = batch === undefined ? position : placeBehind(batch, position);
      const changes = batch === undefined ? [] : ahead(batch, position).filter(change => isWanted(change, filter));
      for (const change of changes) {
        await this.#turn.rest();
        const isLast = change === changes.at(-1);
        position = isLast ? behind : { ...behind, from: position.from, to: batch?.to, afterId: change.id };
        const offeredAt = now();
        yield { position, change };
        // The transport has taken it, and takes no more than its reader does.
        heartbeat.told();
        if (inbox.hasHole && now() - offeredAt > stalledMs)
          throw new WatcherTooSlowError('too many changes were left unread');
      }
      position = behind;
      if (heartbeat.dueInMs <= 0) {
        yield { position, change: undefined };
        heartbeat.told();
      } else if (batch === undefined) await alarm.wait(heartbeat.dueInMs);
    }
    yield { position, change: undefined };
  }

  /**
   * What follows a position: from the feed's recent changes, or from the database in turn with other catch-ups, which may take long.
   * Meanwhile the watch sends heartbeats.
   *
   * @returns undefined if all watches are being stopped.
   */
  async *#catchUp(
    position: PostChangePosition,
    filter: WatchFilter,
    signal: AbortSignal,
    alarm: Alarm,
    heartbeat: Heartbeat,
  ): AsyncGenerator<WatchedPlace, PostChangeBatch | undefined> {
    const recalled = await this.#recall(position, filter);
    if (recalled !== undefined) return recalled;
    let isRead = false;
    const leaving = AbortSignal.any([signal, this.#stopping.signal]);
    const reading = this.#catchUps.read(position, filter, leaving).finally(() => {
      isRead = true;
      alarm.ring();
    });
    reading.catch(() => {});
    while (!isRead) {
      await alarm.wait(heartbeat.dueInMs);
      if (isRead || heartbeat.dueInMs > 0) continue;
      yield { position, change: undefined };
      heartbeat.told();
    }
    if (this.#stopping.signal.aborted) return undefined;
    const batch = await reading;
    this.#feed.met(batch.life);
    return batch;
  }

  /** From the feed's recent changes, which it extends backwards once. */
  async #recall(position: PostChangePosition, filter: WatchFilter): Promise<PostChangeBatch | undefined> {
    const { era, recent } = this.#feed;
    // While the state of the database is unknown, it may be another one.
    if (era === undefined) return undefined;
    const known = recent.read(position, filter);
    if (known !== undefined) return known;
    await this.#feed.lookBack();
    return this.#feed.era === era ? recent.read(position, filter) : undefined;
  }
}

export interface WatchOptions {
  /** The interval of heartbeats, in milliseconds. */
  readonly heartbeatMs?: number;
  /** After this time without reading, a watcher whose buffer overflows is told to resume; in milliseconds. */
  readonly stalledMs?: number;
  /** The most buffered changes of each watcher. */
  readonly bufferChanges?: number;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** Whether the batch continues at the reader's position, or begins before it and leads beyond. */
function joins(batch: PostChangeBatch, { from, to, afterId = 0n }: PostChangePosition): boolean {
  if (to !== undefined) return to.text === batch.to.text && from.covers(batch.from) && batch.afterId <= afterId;
  return batch.afterId === 0n && from.covers(batch.from) && !from.covers(batch.to);
}

function hasRead(batch: PostChangeBatch, { from, to }: PostChangePosition): boolean {
  return to === undefined && from.covers(batch.to);
}

/** The changes of the batch that the reader has not read. */
function ahead(batch: PostChangeBatch, { from, afterId = 0n }: PostChangePosition): PostChange[] {
  return batch.changes.filter(({ id, xid }) => id > afterId && !from.sees(xid));
}

const DEFAULTS: Required<WatchOptions> = {
  // Below the 30 to 60 s after which balancers cut off silent streams.
  heartbeatMs: 15_000,
  stalledMs: 10_000,
  // About 5 MB, once for all watchers.
  bufferChanges: 5000,
  now: () => performance.now(),
};
