import { type DestinationStream, type Logger, pino } from 'pino';

/** Where the lines of the log go. */
export interface LogOutput {
  readonly destination: DestinationStream;
  /** How many lines were dropped so far. */
  readonly droppedLines: number;
  /** From now on this log tells of lines that were dropped, once there is room again. */
  readonly reportDropsTo: (log: Logger) => void;
  /** Resolves when all lines are out; after a second in any case, where nobody reads them. */
  readonly flush: () => Promise<void>;
}

/**
 * Opens the log's output, for which no call ever waits: a write into a pipe that its reader leaves full would hold up the whole
 * process. Lines that can't be written yet wait in memory, and beyond a limit they are dropped and counted. An output that fails (its
 * reader is gone, its disk is full) ends nothing either.
 *
 * What waits when the process exits is written then as far as there is room; one that is killed loses it.
 *
 * @param fd default: standard output.
 * @param waitingMaxBytes of lines. Default: 8 MiB, some 25,000 requests.
 */
export function openLogOutput(fd = 1, waitingMaxBytes = 8 * 1024 * 1024): LogOutput {
  let isExiting = false;
  const stream = pino.destination({
    dest: fd,
    sync: false,
    // Each line is written at once. 0 would be the same, but is not flushed.
    minLength: 1,
    maxLength: waitingMaxBytes,
    // A full pipe that does not block says EAGAIN: the stream tries again in 100 ms, at the exit with the whole process asleep.
    retryEAGAIN: () => !isExiting,
  } as StreamOptions);
  stream.on('error', () => {});
  let droppedLines = 0;
  let reportedLines = 0;
  stream.on('drop', () => {
    droppedLines++;
  });
  process.prependOnceListener('exit', () => {
    isExiting = true;
    try {
      stream.flushSync();
    } catch {
      // Nobody reads it.
    }
    stream.destroy();
  });

  return {
    destination: stream,
    get droppedLines() {
      return droppedLines;
    },
    reportDropsTo: log => {
      stream.on('drain', () => {
        const lines = droppedLines - reportedLines;
        if (lines === 0) return;
        reportedLines = droppedLines;
        log.warn({ event: 'log_lines_dropped', lines }, 'the log was read too slowly, and lines of it were dropped');
      });
    },
    flush: () =>
      new Promise(resolve => {
        const timer = setTimeout(resolve, FLUSH_TIMEOUT_MS);
        stream.flush(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

const FLUSH_TIMEOUT_MS = 1000;

/** Pino's types leave out an option that it passes on. */
type StreamOptions = Parameters<typeof pino.destination>[0];
