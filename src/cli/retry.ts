import { setTimeout as sleepFor } from 'node:timers/promises';
import { retryDelayMs } from '#client/errors.ts';
import { isTransient } from '#src/cli/call-error.ts';

export interface RetryOptions {
  /** Ends the waiting, and the call. */
  readonly signal?: AbortSignal | undefined;
  /** How often a call is made at most. Default 8: with the delays below that bridges the restart of a service. */
  readonly attempts?: number;
  /** For tests: how to wait. */
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<unknown>;
  /** For tests: 0 ≤ n < 1. */
  readonly random?: () => number;
}

/**
 * Makes a call again while the service can't answer, so long as a repeat is safe: a read, or a write with a request_id or
 * an etag.
 *
 * The delays grow twofold from 100 ms to 5 s, each less up to half by chance, so that many callers do not come back at once. They are never
 * shorter than the service asks for in RetryInfo, up to 30 s.
 *
 * @throws the last error, when it is not transient or the attempts are used up; the signal's reason when that fires.
 */
export async function withRetry<T>(call: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const { signal, attempts = 8, sleep = wait, random = Math.random } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      signal?.throwIfAborted();
      if (attempt >= attempts || !isTransient(error)) throw error;
      const backoff = Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** (attempt - 1)) * (1 - random() / 2);
      const asked = Math.min(retryDelayMs(error) ?? 0, MAX_ASKED_DELAY_MS);
      // Chance goes on top of what the service asks for: it asks the same of all.
      await sleep(asked > backoff ? asked * (1 + random() / 4) : backoff, signal);
    }
  }
}

const BASE_DELAY_MS = 100;
const MAX_DELAY_MS = 5000;
const MAX_ASKED_DELAY_MS = 30_000;

function wait(ms: number, signal: AbortSignal | undefined): Promise<unknown> {
  return sleepFor(ms, undefined, signal && { signal });
}
