import { halfJitterGenerator } from 'cockatiel';

/** In milliseconds. */
export interface BackoffOptions {
  /** Before the first retry. */
  readonly initialMs: number;
  readonly maxMs: number;
}

/**
 * The pause before a retry: it doubles with each failure, less up to half by chance, so that callers who were cut off together do not come
 * back together.
 *
 * @param failures how many there were since the last success, without the first one.
 */
export function backoffMs(failures: number, { initialMs, maxMs }: BackoffOptions): number {
  return halfJitterGenerator(failures, { initialDelay: initialMs, maxDelay: maxMs, ...UNUSED })[0];
}

/** Other generators need them. */
const UNUSED = { exponent: 2, generator: halfJitterGenerator };
