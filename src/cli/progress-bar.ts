/** The output of progress: a terminal, or a file or pipe that keeps every line. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/**
 * Shows the progress of a run. A terminal gets one line, rewritten at most 12 times a second. Other outputs get a plain line every ten seconds,
 * so a short run leaves none in a log.
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

  /** Shows the progress, unless it did so a moment ago. */
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

  /** Removes the line, so that other text can be written. */
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

/** The progress of a run. */
export interface Progress {
  readonly done: number;
  /** Undefined while it is unknown. */
  readonly total: number | undefined;
  readonly failed: number;
  /** The file in work. */
  readonly current: string;
}

/**
 * One line of progress: bar, share, count, failures, rate, remaining time, file. It is never wider than `columns`: it leaves out what
 * matters least.
 *
 * @param options.elapsedMs since the run began.
 */
export function progressLine(
  progress: Progress,
  options: { readonly elapsedMs: number; readonly columns: number },
): string {
  const { done, total, failed, current } = progress;
  const perSecond = done / Math.max(options.elapsedMs / 1000, 0.001);
  const share = total === undefined ? undefined : total === 0 ? 1 : done / total;
  const parts = [
    ...(share === undefined ? [] : [bar(share), `${String(Math.floor(share * 100)).padStart(3)} %`]),
    total === undefined ? formatCount(done) : `${formatCount(done)}/${formatCount(total)}`,
    ...(failed > 0 ? [`${formatCount(failed)} failed`] : []),
    ...(done > 0 ? [`${formatCount(Math.round(perSecond))}/s`] : []),
    ...(total !== undefined && done > 0 && done < total ? [`${formatSeconds((total - done) / perSecond)} left`] : []),
  ];
  let line = '';
  for (const part of parts) {
    if (line.length + part.length + 2 > options.columns) return line;
    line += line === '' ? part : `  ${part}`;
  }
  const room = options.columns - line.length - 2;
  return room < 8 ? line : `${line}  ${shorten(printable(current), room)}`;
}

/** 1050 → `1,050`. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-GB');
}

/** 3.21 → `3.2 s`, 75 → `1 min 15 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Removes escape sequences and line breaks, which a file's name may have and a terminal would obey. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, '\uFFFD');
}

const BAR_WIDTH = 24;

function bar(share: number): string {
  const filled = Math.floor(share * BAR_WIDTH);
  return '━'.repeat(filled) + '─'.repeat(BAR_WIDTH - filled);
}

/** The end of a path says more than its beginning. */
function shorten(text: string, width: number): string {
  const chars = [...text];
  if (widthOf(chars) <= width) return text;
  let kept = chars.length;
  while (kept > 0 && widthOf(chars.slice(-kept)) > width - 1) kept--;
  return `…${kept === 0 ? '' : chars.slice(-kept).join('')}`;
}

/** The width in columns. Everything from Hangul on counts as wide, so the result may be too large. */
function widthOf(chars: readonly string[]): number {
  return chars.reduce((sum, char) => sum + ((char.codePointAt(0) ?? 0) >= 0x1100 ? 2 : 1), 0);
}
