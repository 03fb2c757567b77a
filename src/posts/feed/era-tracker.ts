import type { Logger } from '#src/observability/logger.ts';
import type { DatabaseLife } from '#src/posts/feed/feed-head.ts';

/**
 * Counts the lives of the primary that the feed has read. Within one era, transaction ids and snapshots can be compared. Between two eras,
 * nothing can.
 */
export class EraTracker {
  readonly #log: Logger;
  readonly #options: EraTrackerOptions;
  #life: DatabaseLife | undefined;
  #era = 0;
  #isCut = true;
  /** The connection was lost since the life was read. A life that is not known in full may be another one by then. */
  #isUnmet = true;
  /** The feed has reconnected since it heard of later timelines up to this one. */
  #soughtTimeline = 0;
  #seekingTimeline = 0;
  #metElsewhere: string | undefined;

  constructor(log: Logger, options: EraTrackerOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Undefined from the loss of the connection until the feed has caught up, since the next life may be another one. */
  get current(): number | undefined {
    return this.#isCut ? undefined : this.#era;
  }

  /** The era that was known last, also while the feed is cut; 0 before the first one. */
  get last(): number {
    return this.#era;
  }

  /** The life that was read last; undefined before the first reading. */
  get life(): DatabaseLife | undefined {
    return this.#life;
  }

  /** The feed has a new connection, to where the address leads now. */
  connected(): void {
    this.#soughtTimeline = this.#seekingTimeline;
  }

  /** The feed has lost its connection. */
  cut(): void {
    this.#isCut = true;
    this.#isUnmet = true;
  }

  /** The feed has caught up. */
  resume(): void {
    this.#isCut = false;
  }

  /** The next life counts as another one, whatever its name is. */
  forgetLife(): void {
    this.#life = undefined;
  }

  /** Notes the life that a reading has found. Listeners must not hear of the reading before. */
  meet(life: DatabaseLife): void {
    const isSame = life.name === this.#life?.name && (life.isWhole || !this.#isUnmet);
    this.#life = life;
    this.#isUnmet = false;
    if (isSame) return;
    this.#isCut = true;
    this.#era++;
    if (this.#era === 1) return;
    this.#log.info({ era: this.#era }, 'the database has another life: what was cached before is used no more');
    this.#options.onNewEra();
  }

  /** Another connection has found this life. Reconnects once for each such life: either connection may be the old one. */
  metElsewhere(life: string): void {
    if (this.#isCut || this.#life === undefined || life === this.#life.name || life === this.#metElsewhere) return;
    this.#metElsewhere = life;
    this.#options.reconnect('another connection has led to another life of the database');
  }

  /** Whether a token's timeline is later than the one that the feed reads. Then it reconnects, once for each timeline. */
  isSurpassedBy(timeline: number): boolean {
    const known = this.#life?.timeline;
    if (known === undefined || timeline <= known) return false;
    if (this.#isCut) return true;
    if (timeline <= this.#soughtTimeline) return false;
    this.#seekingTimeline = timeline;
    this.#options.reconnect('another primary was promoted since: the address may lead to it');
    return true;
  }
}

export interface EraTrackerOptions {
  /** Called when an era follows another one. Open connections may lead to what was the primary. */
  readonly onNewEra: () => void;
  /** Ends the feed's connection, and opens one to where the address leads now. */
  readonly reconnect: (reason: string) => void;
}
