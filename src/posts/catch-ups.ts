import { setTimeout as sleep } from 'node:timers/promises';
import { bulkhead } from 'cockatiel';
import { SingleFlight } from '#src/cache/single-flight.ts';
import { type Database, runText } from '#src/db/database.ts';
import type { RunStatement } from '#src/posts/feed-head.ts';
import type { ChangeFilter, PostChangeBatch } from '#src/posts/post-change.ts';
import { type PostChangePosition, readPostChanges } from '#src/posts/post-change-query.ts';
import { OverloadedError } from '#src/resilience/admission.ts';

/**
 * Reads the past of the change feed for watchers who are behind, in small batches over connections of its own. Nobody else is to notice:
 *
 * - CATCH_UPS_AT_ONCE batches are read at once, and after each there is a pause. Watchers take turns, a batch each, so that who is a little
 *   behind does not wait for who is far behind.
 * - Who stands at the same place and wants the same shares the batch.
 * - While others wait for the database, a turn begins somewhat later; while calls are refused for overload, none begins. Where that lasts,
 *   the watchers are refused too: they come back later, to this instance or another one.
 */
export class CatchUps {
  readonly #db: Database;
  readonly #options: Required<CatchUpOptions>;
  readonly #bulkhead = bulkhead(CATCH_UPS_AT_ONCE, Number.POSITIVE_INFINITY);
  readonly #flights = new SingleFlight<PostChangeBatch>();
  #overloadedSince: number | undefined;

  constructor(db: Database, options: CatchUpOptions = {}) {
    this.#db = db;
    this.#options = { ...DEFAULTS, ...options };
  }

  /** How many catch-ups are read for, and how many wait. */
  get state(): { readonly inFlight: number; readonly queued: number } {
    const { executionSlots, queueSlots } = this.#bulkhead;
    return { inFlight: CATCH_UPS_AT_ONCE - executionSlots, queued: queueSlots };
  }

  /**
   * The next batch from a place on, when it is its turn.
   *
   * @throws OverloadedError where calls have been refused for too long; what `readPostChanges` does; the signal's reason.
   */
  read(position: PostChangePosition, filter: ChangeFilter, signal: AbortSignal): Promise<PostChangeBatch> {
    const { from, to, afterId, proof } = position;
    const key = JSON.stringify([from.text, to?.text, `${afterId}`, proof?.digest, `${proof?.recent}`, filter]);
    return this.#flights.run(key, flight => this.#take(position, filter, flight.signal), { signal });
  }

  #take(position: PostChangePosition, filter: ChangeFilter, signal: AbortSignal): Promise<PostChangeBatch> {
    const run: RunStatement = (text, values, name) => runText(this.#db, text, values, signal, name);
    return new Promise((resolve, reject) => {
      const turn = async () => {
        await this.#untilCalm(signal);
        const startedAt = performance.now();
        await readPostChanges(run, position, filter).then(resolve, reject);
        // The reader has it by now. Its slot stays taken, so that others get most of the processors.
        await sleep((performance.now() - startedAt) * PAUSE, undefined, { ref: false });
      };
      this.#bulkhead.execute(turn, signal).catch(reject);
    });
  }

  async #untilCalm(signal: AbortSignal): Promise<void> {
    const { isBusy, isOverloaded, patienceMs, onShed } = this.#options;
    for (let looks = 0; ; looks++) {
      if (isOverloaded()) {
        this.#overloadedSince ??= performance.now();
        if (performance.now() - this.#overloadedSince >= patienceMs) {
          onShed();
          throw new OverloadedError('the service is overloaded: what is behind is not read now');
        }
      } else {
        this.#overloadedSince = undefined;
        if (!isBusy() || looks >= BUSY_LOOKS) return;
      }
      await sleep(LOOK_EACH_MS, undefined, { signal, ref: false });
    }
  }
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
/** After a batch, in times that it took. */
const PAUSE = 1;
const LOOK_EACH_MS = 20;
/** A database on which some always wait must not keep those who are behind for ever. */
const BUSY_LOOKS = 10;
