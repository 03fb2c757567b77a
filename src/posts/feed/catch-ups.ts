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
 * Reads the past of the change feed for watchers that are behind, in small batches over its own connections. Other calls must not notice:
 *
 * - At most CATCH_UPS_AT_ONCE batches are read at once, with a pause after each. Watchers take turns by batch, so that one that is a little
 * -   behind does not wait for one that is far behind.
 * - Watchers at the same position share the batch, whatever their filters are.
 * - While others wait for the database, a turn begins somewhat later. While calls are shed, no turn begins. If that lasts, the watchers are
 * -   refused too, and resume later on any instance.
 */
export class CatchUps {
  readonly #db: Database;
  readonly #options: Required<CatchUpOptions>;
  readonly #bulkhead = bulkhead(CATCH_UPS_AT_ONCE, QUEUE_MAX);
  /** Batches that are not read yet, by position. */
  readonly #waiting = new Map<string, SharedBatch>();
  #overloadedSince = 0;
  #overloadedAt = Number.NEGATIVE_INFINITY;

  constructor(db: Database, options: CatchUpOptions = {}) {
    this.#db = db;
    this.#options = { ...DEFAULTS, ...options };
  }

  /** The limit of batches at once, and the numbers of running and waiting batches. */
  get state(): AdmissionState {
    const { executionSlots, queueSlots } = this.#bulkhead;
    return { limit: CATCH_UPS_AT_ONCE, inFlight: CATCH_UPS_AT_ONCE - executionSlots, queued: QUEUE_MAX - queueSlots };
  }

  /**
   * The next batch after a position, when its turn comes. It may have changes for other filters.
   *
   * @throws OverloadedError if calls have been shed for too long; what `readPostChanges` does; the signal's reason.
   */
  read(position: PostChangePosition, filter: ChangeFilter, signal: AbortSignal): Promise<PostChangeBatch> {
    const key = keyOf(position);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined && !waiting.left.aborted) return waiting.join(filter, signal);
    const batch = new SharedBatch(position);
    this.#waiting.set(key, batch);
    const begin = () => void this.#bulkhead.execute(this.#turnOf(key, batch)).catch(batch.reject);
    // Many watchers may begin at one position together, such as those that lost their streams. They stay together.
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
      // The readers have the batch by now. The slot stays taken, so that others get most of the processors.
      await sleep((performance.now() - startedAt) * PAUSE, undefined, { ref: false });
    };
  }

  async #untilCalm(): Promise<void> {
    const { isBusy, isOverloaded, patienceMs, onShed } = this.#options;
    for (let looks = 0; ; looks++) {
      const now = performance.now();
      if (isOverloaded()) {
        // Unless nobody has checked for a while: it may be another overload.
        if (now - this.#overloadedAt > LOOK_EACH_MS * 10) this.#overloadedSince = now;
        this.#overloadedAt = now;
        if (now - this.#overloadedSince >= patienceMs) {
          onShed();
          throw new OverloadedError('the service is overloaded: it reads no older changes now');
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
  /** Whether other calls wait for the database. */
  readonly isBusy?: () => boolean;
  /** Whether calls are shed. */
  readonly isOverloaded?: () => boolean;
  /** How long catch-ups wait for the end of an overload, in milliseconds. */
  readonly patienceMs?: number;
  /** Called when a catch-up is refused. */
  readonly onShed?: () => void;
}

/** It needs as many connections. */
export const CATCH_UPS_AT_ONCE = 2;

const DEFAULTS: Required<CatchUpOptions> = {
  isBusy: () => false,
  isOverloaded: () => false,
  patienceMs: 10_000,
  onShed: () => {},
};
/** More than there are watches. A waiting watch costs only its stream. */
const QUEUE_MAX = 1_000_000;
/** The pause after a batch, as a multiple of its duration. */
const PAUSE = 4;
const LOOK_EACH_MS = 20;
const GATHER_MS = 100;
/** A database with a permanent queue must not stop catch-ups for ever. */
const BUSY_LOOKS = 10;
