import { type Database, runText } from '#src/db/database.ts';
import type { ChangeFeed } from '#src/posts/change-feed.ts';
import { ChangeInbox } from '#src/posts/change-inbox.ts';
import type { RunStatement } from '#src/posts/feed-head.ts';
import type { PostChange, PostChangeBatch } from '#src/posts/post-change.ts';
import { type PostChangePosition, readPosition, readPostChanges } from '#src/posts/post-change-query.ts';
import type { PostFilter } from '#src/posts/post-store.ts';
import { Alarm } from '#src/posts/watch-alarm.ts';

/** A place in the feed, with the change in front of it; without one it says that the watch is alive. */
export interface WatchedPlace {
  readonly position: PostChangePosition;
  readonly change: PostChange | undefined;
}

export type WatchFilter = Pick<PostFilter, 'author' | 'tag'>;

/** The reader has left so much unread that it should begin anew where it stands. */
export class WatcherTooSlowError extends Error {
  override readonly name = 'WatcherTooSlowError';
}

/**
 * Streams of changes: each reader gets every change once, from its place on, as fast as it reads.
 *
 * All readers that keep up are served from the one reading of the feed. Who begins in the past, or falls behind by more than the
 * buffer holds, is served from the database until it has caught up.
 */
export class PostWatches {
  readonly #feed: Pick<ChangeFeed, 'listen'>;
  readonly #db: Database;
  readonly #options: Required<WatchOptions>;
  readonly #stopping = new AbortController();

  constructor(feed: Pick<ChangeFeed, 'listen'>, db: Database, options: WatchOptions = {}) {
    this.#feed = feed;
    this.#db = db;
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Ends all watches, each after a last place. */
  stop(): void {
    this.#stopping.abort();
  }

  /**
   * @param start where to go on; undefined: from now on. The first place comes at once.
   * @throws PostChangesExpiredError, WatcherTooSlowError; what the database throws where there is something to catch up with; the
   *   signal's reason.
   */
  async *watch(
    start: PostChangePosition | undefined,
    filter: WatchFilter,
    signal: AbortSignal,
  ): AsyncGenerator<WatchedPlace> {
    const { now, heartbeatMs, stalledMs, bufferChanges } = this.#options;
    const run: RunStatement = (text, values) => runText(this.#db, text, values, signal);
    using alarm = new Alarm(signal, this.#stopping.signal);
    // Before the database is read, so that what is committed after that is not missed.
    using inbox = new ChangeInbox(this.#feed, bufferChanges, alarm.ring);
    const begin = start === undefined ? await readPosition(run) : undefined;
    let position: PostChangePosition = start ?? (begin as PostChangePosition);
    // Undefined: the place is one that the feed has come by, which proves it in each life.
    let readIn = begin?.life;
    let isBehind = start !== undefined;
    yield { position, change: undefined };
    let toldAt = now();

    while (!this.#stopping.signal.aborted) {
      signal.throwIfAborted();
      if (inbox.hasHole) {
        inbox.acknowledgeHole();
        isBehind = true;
      }
      const batch = isBehind ? await readPostChanges(run, position, READ_CHANGES) : inbox.take();
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
      for (const change of batch === undefined ? [] : ahead(batch, position)) {
        position = { from: position.from, to: batch?.to, afterId: change.id, proof: batch?.proof };
        if (!matches(change, filter)) continue;
        const offeredAt = now();
        yield { position, change };
        // It was taken by the transport, which takes no more than its reader does.
        toldAt = now();
        if (inbox.hasHole && toldAt - offeredAt > stalledMs)
          throw new WatcherTooSlowError('too many changes were left unread');
      }
      if (batch?.complete) position = { from: batch.to, proof: batch.proof };
      if (now() - toldAt >= heartbeatMs) {
        yield { position, change: undefined };
        toldAt = now();
      } else if (batch === undefined) await alarm.wait(toldAt + heartbeatMs - now());
    }
    yield { position, change: undefined };
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

/** Whether the post is one that the filter lets through, or was one before. */
function matches({ post, previous }: PostChange, { author, tag }: WatchFilter): boolean {
  return [post, previous].some(
    version =>
      version !== undefined &&
      (author === undefined || version.author === author) &&
      (tag === undefined || version.tags.includes(tag)),
  );
}

const DEFAULTS: Required<WatchOptions> = {
  // Below the 30 to 60 s after which balancers cut off what is silent.
  heartbeatMs: 15_000,
  stalledMs: 10_000,
  // About 5 MB, once for all readers.
  bufferChanges: 5000,
  now: () => performance.now(),
};
const READ_CHANGES = 1000;
