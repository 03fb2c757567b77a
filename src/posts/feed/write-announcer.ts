import type { Logger } from '#src/observability/logger.ts';

/** Notifies the feeds of all instances that this process has committed a write. Writes that follow soon share one notification. */
export class WriteAnnouncer implements Disposable {
  readonly #run: RunOnFeed;
  readonly #runElsewhere: RunOnFeed | undefined;
  readonly #channel: string;
  readonly #log: Logger;
  #pause: NodeJS.Timeout | undefined;
  #isBusy = false;
  #isAskedAgain = false;

  /**
   * @param run on the feed's own connection.
   * @param runElsewhere on another connection, for when the feed's own is lost.
   */
  constructor(channel: string, run: RunOnFeed, runElsewhere: RunOnFeed | undefined, log: Logger) {
    this.#channel = channel;
    this.#run = run;
    this.#runElsewhere = runElsewhere;
    this.#log = log;
  }

  announce(): void {
    if (this.#isBusy) {
      this.#isAskedAgain = true;
      return;
    }
    this.#isBusy = true;
    this.#isAskedAgain = false;
    this.#run(NOTIFY, [this.#channel])
      .catch(() => this.#runElsewhere?.(NOTIFY, [this.#channel]))
      // Feeds poll, so they find the write without the notification.
      .catch(error => this.#log.debug({ err: error }, 'a write could not be announced'))
      // A notification costs every instance a read of the feed.
      .finally(() => {
        this.#pause = setTimeout(() => {
          this.#isBusy = false;
          if (this.#isAskedAgain) this.announce();
        }, PAUSE_MS).unref();
      });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#pause);
  }
}

type RunOnFeed = (text: string, values: readonly unknown[]) => Promise<unknown>;

const NOTIFY = "select pg_notify($1, '')";
/** Writes within this of the end of a notification share the next one. */
const PAUSE_MS = 5;
