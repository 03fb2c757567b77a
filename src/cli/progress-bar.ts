import { formatCount, formatSeconds, type Progress, progressLine } from '#src/cli/progress-line.ts';

/** Where progress goes: a terminal, or a file or pipe that keeps every line. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/**
 * Shows how far a run is. On a terminal that is one line, rewritten at most 12 times a second; elsewhere a plain line every
 * ten seconds, so that a short run leaves none in a log.
 */
export class ProgressBar {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  readonly #startedAt: number;
  #shownAt: number;
  #isShown = false;

  /** @param now a monotonic clock in milliseconds. */
  constructor(stream: ProgressStream, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
    this.#startedAt = now();
    this.#shownAt = stream.isTTY ? Number.NEGATIVE_INFINITY : this.#startedAt;
  }

  /** Shows the progress, unless the last one has not been there for long. */
  update(progress: Progress): void {
    const now = this.#now();
    if (now - this.#shownAt < (this.#stream.isTTY ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS)) return;
    this.#shownAt = now;
    if (!this.#stream.isTTY) {
      this.#stream.write(plainLine(progress, now - this.#startedAt));
      return;
    }
    // The last column stays free: some terminals break the line when it is written to.
    const columns = (this.#stream.columns || DEFAULT_COLUMNS) - 1;
    this.#stream.write(`\r${progressLine(progress, { elapsedMs: now - this.#startedAt, columns })}${CLEAR_REST}`);
    this.#isShown = true;
  }

  /** Takes the line away, so that other text can be written. */
  clear(): void {
    if (this.#isShown) this.#stream.write(`\r${CLEAR_REST}`);
    this.#isShown = false;
  }
}

const TERMINAL_INTERVAL_MS = 80;
const LOG_INTERVAL_MS = 10_000;
const DEFAULT_COLUMNS = 80;
/** ECMA-48, "erase in line". */
const CLEAR_REST = '\u001b[K';

function plainLine({ done, total, failed }: Progress, elapsedMs: number): string {
  const of = total === undefined ? '' : ` of ${formatCount(total)}`;
  const failures = failed === 0 ? '' : `, ${formatCount(failed)} failed`;
  return `${formatCount(done)}${of}${failures} after ${formatSeconds(elapsedMs / 1000)}\n`;
}
