import type { DescMethodUnary } from '@bufbuild/protobuf';
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import { retryDelayMs } from './errors.ts';

/**
 * Repeats a unary call that failed with UNAVAILABLE, if that is safe: a read, or a creation with a `request_id`. Before, it waits 0.1, 0.2,
 * 0.4 s and so on, up to 2 s, each reduced by up to half by chance. It never waits less than the server asks for (RetryInfo), and never
 * beyond the call's deadline.
 *
 * A retry budget stops repetitions while many calls fail, so that clients do not make an outage worse. It is
 * gRPC's (https://github.com/grpc/proposal/blob/master/A6-client-retries.md, "Throttling Retry Attempts and Hedged RPCs"): 10 tokens, one
 * less for each failure, a tenth more for each success, and no repetition at 5 or below.
 *
 * @param attempts the most attempts, the first one included; 1: no repetition.
 */
export function withRetries(transport: Transport, attempts: number): Transport {
  if (!(attempts > 1)) return transport;
  let tokens = MAX_TOKENS;
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const deadline = timeoutMs === undefined || timeoutMs <= 0 ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs;
      let leftMs = timeoutMs;
      for (let attempt = 1; ; attempt++) {
        try {
          const response = await transport.unary(method, signal, leftMs, header, input, contextValues);
          tokens = Math.min(MAX_TOKENS, tokens + TOKENS_FOR_SUCCESS);
          return response;
        } catch (error) {
          if (!(error instanceof ConnectError) || error.code !== Code.Unavailable) throw error;
          tokens = Math.max(0, tokens - 1);
          if (attempt >= attempts || tokens <= MAX_TOKENS / 2 || !isRepeatable(method, input)) throw error;
          const delayMs = backoffMs(attempt, error);
          if (Date.now() + delayMs >= deadline) throw error;
          await pause(delayMs, signal);
          if (timeoutMs !== undefined && timeoutMs > 0) leftMs = Math.max(1, deadline - Date.now());
        }
      }
    },
    stream: (...call) => transport.stream(...call),
  };
}

/** Whether a call may be repeated: it writes nothing, or the server recognises it. */
function isRepeatable(method: DescMethodUnary, input: object): boolean {
  if (method.idempotency === NO_SIDE_EFFECTS || method.idempotency === IDEMPOTENT) return true;
  const { requests } = input as { readonly requests?: readonly object[] };
  const parts = Array.isArray(requests) ? requests : [input];
  return parts.length > 0 && parts.every(part => Boolean((part as { readonly requestId?: string }).requestId));
}

/**
 * How long to wait before a call is made again, in milliseconds: 100, 200, 400 and so on, each less up to half by chance, and no shorter
 * than the server asks for (RetryInfo).
 *
 * @param attempt how often the call has failed.
 * @param longestMs the longest pause, unless the server asks for more.
 * @param random 0 ≤ n < 1.
 */
export function backoffMs(
  attempt: number,
  error: unknown,
  longestMs = LONGEST_PAUSE_MS,
  random = Math.random(),
): number {
  const backoff = Math.min(longestMs, FIRST_PAUSE_MS * 2 ** (attempt - 1)) * (1 - random / 2);
  const asked = retryDelayMs(error) ?? 0;
  // The server may name the same delay to all clients.
  return asked > backoff ? asked * (1 + random / 4) : backoff;
}

/**
 * Waits.
 *
 * @throws ConnectError with CANCELED when the signal aborts.
 */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(ConnectError.from(signal?.reason, Code.Canceled));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}

/** Of google.protobuf.MethodOptions.IdempotencyLevel, which would bring the descriptor of all descriptors into a browser's bundle. */
const [NO_SIDE_EFFECTS, IDEMPOTENT] = [1, 2];
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;
const MAX_TOKENS = 10;
const TOKENS_FOR_SUCCESS = 0.1;
