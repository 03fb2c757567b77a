import { type DestinationStream, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/**
 * The process's logger: one JSON object a line, or lines for a person.
 *
 * @param options.format 'pretty' needs pino-pretty, which is loaded only then.
 * @param destination where the lines go; default: standard output, written synchronously, for programs that only log what fails.
 */
export async function createLogger(
  options: { readonly level: string; readonly format: 'json' | 'pretty' },
  destination: DestinationStream = pino.destination({ dest: 1, sync: true }),
): Promise<Logger> {
  const base = { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (options.format === 'json') return pino(base, destination);
  const { default: pretty } = await import('pino-pretty');
  return pino(base, pretty({ destination: destination as never, sync: true, ignore: 'pid,hostname' }));
}
