import { type DestinationStream, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/**
 * Creates the process's logger. It writes one JSON object a line, or lines for people.
 *
 * @param options.format 'pretty' loads pino-pretty.
 * @param destination default: standard output, written synchronously, which suits programs that log little.
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
