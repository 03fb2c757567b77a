import type { Http2ServerRequest } from 'node:http2';

/**
 * Finds HTTP/2 requests whose body takes too long to arrive. HTTP/1.1 has Node's `requestTimeout`. Without this, a client that never ends
 * its body would hold a call for ever, because the RPC library waits for it.
 */
export interface Http2BodyDeadline {
  /** Watches a request after its head, and calls `late` if its body takes too long. */
  readonly watch: (request: Http2ServerRequest, late: () => void) => void;
  /** The request's response has ended. */
  readonly forget: (request: Http2ServerRequest) => void;
}

/** @param limitMs how long a body may take; checked every second. */
export function createHttp2BodyDeadline(
  limitMs: number,
  now: () => number = () => performance.now(),
): Http2BodyDeadline {
  // In order of arrival, so a check stops at the first request with time left.
  const arrivals = new Map<Http2ServerRequest, { readonly at: number; readonly late: () => void }>();
  let timer: NodeJS.Timeout | undefined;

  const look = () => {
    const due = now() - limitMs;
    for (const [request, { at, late }] of arrivals) {
      if (at > due) return;
      arrivals.delete(request);
      if (!request.complete) late();
    }
    if (arrivals.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };

  return {
    watch(request, late) {
      arrivals.set(request, { at: now(), late });
      timer ??= setInterval(look, Math.min(1000, limitMs)).unref();
    },
    forget: request => void arrivals.delete(request),
  };
}
