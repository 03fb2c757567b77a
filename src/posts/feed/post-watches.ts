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

/** A place in the feed, with the change in front of it; without one it says that the watch is alive. */
export interface WatchedPlace {
  readonly position: PostChangePosition;
  readonly change: PostChange | undefined;
}

export type WatchFilter = ChangeFilter;

/** The reader has left so much unread that it should begin anew where it stands. */
export class WatcherTooSlowError extends Error {
  override readonly name = 'WatcherTooSlowError';
}

/** What watches need of the change feed. */
export type WatchedFeed = Pick<ChangeFeed, 'listen' | 'end' | 'era' | 'lookBack' | 'met' | 'recent'>;

/**
 * Streams of changes: each reader gets every change once, from its place on, as fast as it reads.
 *
 * All readers that keep up are served from the one reading of the feed, and so are those who begin within what it remembers. Who begins
 * before that, or falls behind by more, is served from the database until it has caught up.
 */
export class PostWatches {
  readonly #feed: WatchedFeed;
  readonly #catchUps: CatchUps;
  readonly #options: Required<WatchOptions>;
  readonly #stopping = new AbortController();
  /** Of the watches that are open: thousands of listeners of one signal cost each new one a look at all of them. */
  readonly #alarms = new Set<Alarm>();
  readonly #turn = new LoopTurn();

  /** @param db over connections of their own, CATCH_UPS_AT_ONCE of them. */
  constructor(feed: WatchedFeed, db: Database, options: WatchOptions & CatchUpOptions = {}) {
    this.#feed = feed;
    this.#catchUps = new CatchUps(db, options);
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Of the catch-ups with the past, in batches. */
  get catchUps(): AdmissionState {
    return this.#catchUps.state;
  }

  /** Ends all watches, each after a last place. */
  stop(): void {
    this.#stopping.abort();
    for (const alarm of this.#alarms) alarm.ring();
  }

  /**
   * @param start where to go on; undefined: from now on. The first place comes at once.
   * @throws PostChangesExpiredError, WatcherTooSlowError; what the database throws where there is something to catch up with;
   *   OverloadedError, where that is not read for overload; the signal's reason.
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
    // Before the database is read, so that what is committed after that is not missed.
    const inbox = parts.use(new ChangeBuffer(this.#feed, bufferChanges, alarm.ring));
    const end = start === undefined ? await abortable(this.#feed.end(), signal) : undefined;
    let position = start ?? (end as FeedEnd).position;
    // Undefined: the place is one that the feed has come by, which proves it in each life.
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
        // The place may be beyond what is left of the history that it was read of.
        isBehind = true;
        continue;
      }
      if (batch !== undefined && !isBehind && !joins(batch, position)) {
        isBehind = !hasRead(batch, position);
        continue;
      }
      if (batch !== undefined) readIn = isBehind ? batch.life : undefined;
      // What a token's batch leaves is read first, and then what came after that batch.
      if (isBehind) isBehind = position.to !== undefined || batch?.complete === false;
      const behind = batch === undefined ? position : placeBehind(batch, position);
      const changes = batch === undefined ? [] : ahead(batch, position).filter(change => isWanted(change, filter));
      for (const change of changes) {
        await this.#turn.rest();
        const isLast = change === changes.at(-1);
        position = isLast ? behind : { ...behind, from: position.from, to: batch?.to, afterId: change.id };
        const offeredAt = now();
        yield { position, change };
        // It was taken by the transport, which takes no more than its reader does.
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
   * What comes behind a place: from what the feed remembers; or else from the database, in turn with others who are behind, which may take
   * long. Meanwhile the watch tells that it is alive.
   *
   * @returns undefined where all watches are being stopped.
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

  /** From what the feed remembers, which it looks back for once. */
  async #recall(position: PostChangePosition, filter: WatchFilter): Promise<PostChangeBatch | undefined> {
    const { era, recent } = this.#feed;
    // While nothing is known of the database, it may be another one by now.
    if (era === undefined) return undefined;
    const known = recent.read(position, filter);
    if (known !== undefined) return known;
    await this.#feed.lookBack();
    return this.#feed.era === era ? recent.read(position, filter) : undefined;
  }
}

export interface WatchOptions {
  /** A place is told after this, should nothing change, in milliseconds. */
  readonly heartbeatMs?: number;
  /** A reader that takes nothing for longer than this, and misses more than the buffer holds, is told to resume; in milliseconds. */
  readonly stalledMs?: number;
  /** How many changes wait for each reader. */
  readonly bufferChanges?: number;
  /** Milliseconds of a clock that never jumps. */
  readonly now?: () => number;
}

/** Whether the batch goes on exactly where the reader stands, or begins before that and leads beyond. */
function joins(batch: PostChangeBatch, { from, to, afterId = 0n }: PostChangePosition): boolean {
  if (to !== undefined) return to.text === batch.to.text && from.covers(batch.from) && batch.afterId <= afterId;
  return batch.afterId === 0n && from.covers(batch.from) && !from.covers(batch.to);
}

function hasRead(batch: PostChangeBatch, { from, to }: PostChangePosition): boolean {
  return to === undefined && from.covers(batch.to);
}

/** Those of the batch that the reader has not read. */
function ahead(batch: PostChangeBatch, { from, afterId = 0n }: PostChangePosition): PostChange[] {
  return batch.changes.filter(({ id, xid }) => id > afterId && !from.sees(xid));
}

const DEFAULTS: Required<WatchOptions> = {
  // Below the 30 to 60 s after which balancers cut off what is silent.
  heartbeatMs: 15_000,
  stalledMs: 10_000,
  // About 5 MB, once for all readers.
  bufferChanges: 5000,
  now: () => performance.now(),
};
