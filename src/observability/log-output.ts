import { type DestinationStream, type Logger, pino } from 'pino';

/** The destination of the log. */
export interface LogOutput {
  readonly destination: DestinationStream;
  /** Lines dropped so far. */
  readonly droppedLines: number;
  /** Makes this log report dropped lines, once there is room again. */
  readonly reportDropsTo: (log: Logger) => void;
  /** Resolves when all lines are written, or after a second if nobody reads them. */
  readonly flush: () => Promise<void>;
}

/**
 * Opens the log's output. Its writes never block: a write to a full pipe would stop the whole process. Lines that cannot be written yet wait
 * in memory, and beyond a limit they are dropped and counted. An output that fails (its reader is gone, its disk is full) fails no call.
 *
 * At exit, waiting lines are written as far as there is room. A process that is killed loses them.
 *
 * @param fd default: standard output.
 * @param waitingMaxBytes maximum bytes of waiting lines. Default: 8 MiB, some 25,000 requests.
 */
export function openLogOutput(fd = 1, waitingMaxBytes = 8 * 1024 * 1024): LogOutput {
  let isExiting = false;
  const stream = pino.destination({
    dest: fd,
    sync: false,
    // Each line is written at once. 0 would do the same, but SonicBoom would not flush it.
    minLength: 1,
    maxLength: waitingMaxBytes,
    // A full non-blocking pipe answers EAGAIN, and the stream retries after 100 ms. At exit that retry would put the whole process to sleep.
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
      // Nobody reads the log.
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
        log.warn(
          { event: 'log_lines_dropped', lines },
          'log lines were dropped because the reader of the log was too slow',
        );
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

/** Pino's types omit an option that pino passes on. */
type StreamOptions = Parameters<typeof pino.destination>[0];
