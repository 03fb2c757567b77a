import type { HeldBytes } from '#src/resilience/byte-budget.ts';
import type { CallRecord } from '#src/wire/http-exchange.ts';

/**
 * What is known of one request, from its first byte to its last. The shell makes one for each request, the stages fill
 * it in, and the access log and the metrics are made from it when the response has ended.
 */
export interface Call extends CallRecord {
  /** Taken from, or given as, `x-request-id`. */
  readonly id: string;
  /** `performance.now()` when the request's head had arrived. */
  readonly startedAt: number;
  /** The procedure's full name, such as `blog.v1.PostService/GetPost`; unset: it never became an RPC. */
  procedure: string | undefined;
  /** The protocol spoken; unset: it never became an RPC. */
  protocol: RpcProtocol | undefined;
  /** How the RPC ended: `ok`, or an error code as Connect spells it, such as `not_found`; unset: it never became one. */
  code: string | undefined;
  /** Its handler has answered, at least in part: what fails from then on is not the request. */
  answered: boolean;
  /** Memory that its answer has taken, where connect-node makes it; unset: it is a small one. */
  held?: HeldBytes | undefined;
  /** What went wrong, for the log only; never shown to the client. */
  cause: unknown;
}

export type RpcProtocol = 'connect' | 'grpc' | 'grpc-web';
