import type { Interceptor } from '@connectrpc/connect';

/** What readYourWrites remembers. Every option may be left out. */
export interface ReadYourWritesOptions {
  /**
   * How long reads carry a write, in milliseconds. Default: 60,000, the service's own bound for an instance that lags. Set more if the
   * service has read replicas that may lag further.
   */
  readonly keepMs?: number;
}

/**
 * Makes an interceptor for read-your-writes: reads carry the consistency tokens of earlier writes, so that every instance answers with those
 * writes. Without it, only the instance that has written does, and others follow within milliseconds.
 *
 * Reads with a token go by POST, so that no cache answers them. Clients that must see each other's writes share one interceptor. Of
 * concurrent writes, it remembers the last ten.
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
      // A reader of this write sees all writes that had ended before it began.
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
/** The most tokens that the service accepts. */
const TOKENS_MAX = 10;
