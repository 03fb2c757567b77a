import { Code, ConnectError, type Transport } from '@connectrpc/connect';

/**
 * Gives up unary calls that set no timeout of their own after `timeoutMs` (0: never) with DEADLINE_EXCEEDED, without a
 * header that tells the server: it notices when the browser closes the request.
 */
export function withUnaryTimeout(transport: Transport, timeoutMs: number): Transport {
  if (timeoutMs <= 0) return transport;
  return {
    async unary(method, signal, callTimeoutMs, ...rest) {
      if (callTimeoutMs !== undefined) return transport.unary(method, signal, callTimeoutMs, ...rest);
      const deadline = new AbortController();
      const expire = () => deadline.abort(new ConnectError('the operation timed out', Code.DeadlineExceeded));
      const timer = setTimeout(expire, timeoutMs);
      try {
        const either = signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal;
        return await transport.unary(method, either, undefined, ...rest);
      } finally {
        clearTimeout(timer);
      }
    },
    stream: (...call) => transport.stream(...call),
  };
}
