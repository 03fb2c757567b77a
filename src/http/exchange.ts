import type { Connection, HttpRequest, HttpResponse } from '#src/http/connection.ts';
import type { Refusal } from '#src/http/refusal.ts';
import type { Call } from '#src/rpc/call.ts';

/** A request, its response, and what is known of the two. */
export interface Exchange {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly connection: Connection | undefined;
  readonly call: Call;
  /** HTTP/1.1: whether the connection is to be closed after the response, and not by Node. */
  readonly closes: boolean;
  /** Why it never became an RPC. */
  refusal: Refusal | undefined;
}
