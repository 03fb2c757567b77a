import { constants, type Http2ServerRequest } from 'node:http2';

/**
 * Ends HTTP/2 requests whose body takes too long to arrive. HTTP/1.1 has Node's `requestTimeout` for that; without this
 * a client that never ends its body would hold a call for ever, since the RPC library waits for it.
 */
export interface Http2BodyDeadline {
  /** Watches a request whose head has arrived. */
  readonly watch: (request: Http2ServerRequest) => void;
  /** The request's response has ended. */
  readonly forget: (request: Http2ServerRequest) => void;
}

/** @param limitMs how long a body may take; looked at each second. */
export function createHttp2BodyDeadline(
  limitMs: number,
  now: () => number = () => performance.now(),
): Http2BodyDeadline {
  // In order of arrival, so a look stops at the first that has time left.
  const arrivals = new Map<Http2ServerRequest, number>();
  let timer: NodeJS.Timeout | undefined;

  const look = () => {
    const due = now() - limitMs;
    for (const [request, arrivedAt] of arrivals) {
      if (arrivedAt > due) return;
      arrivals.delete(request);
      if (!request.complete) request.stream.close(constants.NGHTTP2_CANCEL);
    }
    if (arrivals.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };

  return {
    watch(request) {
      arrivals.set(request, now());
      timer ??= setInterval(look, Math.min(1000, limitMs)).unref();
    },
    forget: request => void arrivals.delete(request),
  };
}
