import type { Interceptor } from '@connectrpc/connect';

/** What readYourWrites remembers. Every option may be left out. */
export interface ReadYourWritesOptions {
  /**
   * For how long reads carry a write, in milliseconds. Default: 60,000, the service's own bound for what an instance may not have heard of;
   * give more where the service has read replicas that may be further behind.
   */
  readonly keepMs?: number;
}

/**
 * Makes an interceptor by which whoever has written reads no answer without that write, from whichever instance: reads carry the
 * consistency tokens of the writes before them. Without it that holds for the instance that has written, and others follow within
 * milliseconds.
 *
 * Reads that carry one go by POST, so that no cache on the way answers them. Share one interceptor among the clients that are to see each
 * other's writes. Of writes at the same time, the last ten are remembered.
 */
export function readYourWrites({ keepMs = 60_000 }: ReadYourWritesOptions = {}): Interceptor {
  let writes: readonly Write[] = [];
  return next => async request => {
    const begunAt = performance.now();
    writes = writes.filter(({ endedAt }) => endedAt > begunAt - keepMs);
    if (writes.length > 0 && !request.header.has(CONSISTENCY_TOKEN)) {
      request.header.set(CONSISTENCY_TOKEN, writes.map(({ token }) => token).join(','));
    }
    const response = await next(request);
    const token = response.header.get(CONSISTENCY_TOKEN);
    if (token !== null) {
      // Who sees this write sees those too that had ended when it began.
      const atTheSameTime = writes.filter(({ endedAt }) => endedAt > begunAt);
      writes = [...atTheSameTime, { token, endedAt: performance.now() }].slice(-TOKENS_MAX);
    }
    return response;
  };
}

interface Write {
  readonly token: string;
  readonly endedAt: number;
}

/** The header of requests and responses. */
export const CONSISTENCY_TOKEN = 'x-consistency-token';
/** The most that the service takes. */
const TOKENS_MAX = 10;
