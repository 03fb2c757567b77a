import { setTimeout as sleep } from 'node:timers/promises';
import { bulkhead } from 'cockatiel';
import { type Database, runText } from '#src/db/database.ts';
import type { RunStatement } from '#src/posts/feed/feed-head.ts';
import type { ChangeFilter, PostChangeBatch } from '#src/posts/feed/post-change.ts';
import type { PostChangePosition } from '#src/posts/feed/post-change-position.ts';
import { readPostChanges } from '#src/posts/feed/post-change-query.ts';
import { SharedBatch } from '#src/posts/feed/shared-batch.ts';
import type { AdmissionState } from '#src/resilience/admission.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';

/**
 * Reads the past of the change feed for watchers who are behind, in small batches over connections of its own. Nobody else is to notice:
 *
 * - CATCH_UPS_AT_ONCE batches are read at once, and after each there is a pause. Watchers take turns, a batch each, so that who is a little
 *   behind does not wait for who is far behind.
 * - Those who stand at one place share the batch, whatever they want of it.
 * - While others wait for the database, a turn begins somewhat later; while calls are refused for overload, none begins. Where that lasts,
 *   the watchers are refused too: they come back later, to this instance or another one.
 */
export class CatchUps {
  readonly #db: Database;
  readonly #options: Required<CatchUpOptions>;
  readonly #bulkhead = bulkhead(CATCH_UPS_AT_ONCE, QUEUE_MAX);
  /** By place: those that are not read yet. */
  readonly #waiting = new Map<string, SharedBatch>();
  #overloadedSince = 0;
  #overloadedAt = Number.NEGATIVE_INFINITY;

  constructor(db: Database, options: CatchUpOptions = {}) {
    this.#db = db;
    this.#options = { ...DEFAULTS, ...options };
  }

  /** How many batches may be read at once, are, and are waited for. */
  get state(): AdmissionState {
    const { executionSlots, queueSlots } = this.#bulkhead;
    return { limit: CATCH_UPS_AT_ONCE, inFlight: CATCH_UPS_AT_ONCE - executionSlots, queued: QUEUE_MAX - queueSlots };
  }

  /**
   * The next batch from a place on, when it is its turn. It may have changes that the filter does not let through, and others want.
   *
   * @throws OverloadedError where calls have been refused for too long; what `readPostChanges` does; the signal's reason.
   */
  read(position: PostChangePosition, filter: ChangeFilter, signal: AbortSignal): Promise<PostChangeBatch> {
    const key = keyOf(position);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined && !waiting.left.aborted) return waiting.join(filter, signal);
    const batch = new SharedBatch(position);
    this.#waiting.set(key, batch);
    const begin = () => void this.#bulkhead.execute(this.#turnOf(key, batch)).catch(batch.reject);
    // From one place on many begin at about the same time, such as those who were cut off together: they go on together, then.
    if (position.to === undefined) setTimeout(begin, GATHER_MS);
    else queueMicrotask(begin);
    return batch.join(filter, signal);
  }

  #turnOf(key: string, batch: SharedBatch): () => Promise<void> {
    return async () => {
      try {
        if (!batch.isAwaited) return;
        await this.#untilCalm();
      } finally {
        if (this.#waiting.get(key) === batch) this.#waiting.delete(key);
      }
      const startedAt = performance.now();
      const run: RunStatement = (text, values, name) => runText(this.#db, text, values, batch.left, name);
      await readPostChanges(run, batch.position, batch.filters).then(batch.resolve, batch.reject);
      // The readers have it by now. The slot stays taken, so that others get most of the processors.
      await sleep((performance.now() - startedAt) * PAUSE, undefined, { ref: false });
    };
  }

  async #untilCalm(): Promise<void> {
    const { isBusy, isOverloaded, patienceMs, onShed } = this.#options;
    for (let looks = 0; ; looks++) {
      const now = performance.now();
      if (isOverloaded()) {
        // Unless nobody has looked for a while: it may be another one.
        if (now - this.#overloadedAt > LOOK_EACH_MS * 10) this.#overloadedSince = now;
        this.#overloadedAt = now;
        if (now - this.#overloadedSince >= patienceMs) {
          onShed();
          throw new OverloadedError('the service is overloaded: what is behind is not read now');
        }
      } else {
        this.#overloadedAt = Number.NEGATIVE_INFINITY;
        if (!isBusy() || looks >= BUSY_LOOKS) return;
      }
      await sleep(LOOK_EACH_MS, undefined, { ref: false });
    }
  }
}

function keyOf({ from, to, afterId = 0n, proof }: PostChangePosition): string {
  return [from.text, to?.text, afterId, proof?.digest, proof?.recent].join(' ');
}

export interface CatchUpOptions {
  /** Whether others wait for the database. */
  readonly isBusy?: () => boolean;
  /** Whether calls are refused for overload. */
  readonly isOverloaded?: () => boolean;
  /** For how long catch-ups wait for the end of an overload, in milliseconds. */
  readonly patienceMs?: number;
  /** One was refused. */
  readonly onShed?: () => void;
}

/** As many connections are needed. */
export const CATCH_UPS_AT_ONCE = 2;

const DEFAULTS: Required<CatchUpOptions> = {
  isBusy: () => false,
  isOverloaded: () => false,
  patienceMs: 10_000,
  onShed: () => {},
};
/** More than there are watches: those who wait have their streams, and cost nothing else. */
const QUEUE_MAX = 1_000_000;
/** After a batch, in times that it took. */
const PAUSE = 4;
const LOOK_EACH_MS = 20;
const GATHER_MS = 100;
/** A database on which some always wait must not keep those who are behind for ever. */
const BUSY_LOOKS = 10;
