import type { Connection, HttpRequest, HttpResponse } from '#src/http/connection.ts';
import type { Refusal } from '#src/http/refusal.ts';
import type { Call } from '#src/rpc/call.ts';

/** A request, its response, and what is known of the two. */
export interface Exchange {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly connection: Connection | undefined;
  readonly call: Call;
  /** Why it never became an RPC. */
  refusal: Refusal | undefined;
}
