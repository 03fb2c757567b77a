import type { HeldBytes } from '#src/resilience/byte-budget.ts';
import type { Connection, HttpRequest, HttpResponse } from '#src/wire/connection.ts';
import type { RequestHead } from '#src/wire/request-head.ts';

/**
 * What the service knows of one request and its response. The shell makes one for each request, the stages fill it in, and the metrics and
 * the access log read it once the response has ended.
 */
export class CallRecord {
  /** Taken from the client's `x-request-id`, or new. */
  readonly id: string;
  /** `performance.now()` when the request's head had arrived. */
  readonly startedAt = performance.now();
  readonly head: RequestHead;
  readonly httpVersion: string;
  /** Undefined: the connection was gone before the request was looked at. */
  readonly connection: Connection | undefined;
  /** The client's address: the connection's, unless a trusted proxy has named another one. */
  remoteAddress: string;
  /** The procedure's full name, such as `blog.v1.PostService/GetPost`. Unset: the request never became an RPC. */
  procedure: string | undefined = undefined;
  protocol: RpcProtocol | undefined = undefined;
  /** How the RPC ended: `ok`, or an error code as Connect spells it, such as `not_found`. Unset: the request never became an RPC. */
  code: string | undefined = undefined;
  /** The handler has begun to answer: an error from then on is not the request's fault. */
  answered = false;
  /** What went wrong, for the log only. Never shown to the client. */
  cause: unknown = undefined;
  /** Why the request never became an RPC. */
  refusal: { readonly reason: string; readonly status: number } | undefined = undefined;
  /** connect-node served the request, or the shell refused it: the fast path did not. */
  adapted = false;
  /** Memory that a large answer of connect-node holds. */
  held: HeldBytes | undefined = undefined;
  /** Gives back the client's share of calls in flight. Unset: the call holds none. */
  release: (() => void) | undefined = undefined;

  /** The HTTP status. Undefined: the client was gone before there was one. */
  status: number | undefined = undefined;
  /** Bytes of the bodies, as they crossed the wire. */
  bytesRead = 0;
  bytesWritten = 0;
  /** The client did not get the whole response. */
  aborted = false;
  durationMs = 0;
  readonly #onEnd: (call: CallRecord) => void;

  /** @param onEnd called once, when the response has ended. */
  constructor(
    id: string,
    head: RequestHead,
    httpVersion: string,
    connection: Connection | undefined,
    onEnd: (call: CallRecord) => void,
  ) {
    this.id = id;
    this.head = head;
    this.httpVersion = httpVersion;
    this.connection = connection;
    this.remoteAddress = connection?.remoteAddress ?? '';
    this.#onEnd = onEnd;
  }

  /** The reason why the request never became an RPC; undefined if it became one. A browser's preflight is neither an RPC nor refused. */
  get refused(): string | undefined {
    return this.refusal?.reason ?? (this.procedure === undefined ? 'PREFLIGHT' : undefined);
  }

  /** The response has left, or never will. Must be called once. */
  end(status: number | undefined, bytesRead: number, bytesWritten: number, aborted: boolean): void {
    this.durationMs = performance.now() - this.startedAt;
    this.status = status;
    this.bytesRead = bytesRead;
    this.bytesWritten = bytesWritten;
    this.aborted = aborted;
    if (this.refused === undefined) this.code ??= aborted ? 'canceled' : 'unknown';
    else this.code = this.protocol = undefined;
    this.#onEnd(this);
  }

  /** The same for a response of Node's, once it has closed. */
  endWith(request: HttpRequest, response: HttpResponse): void {
    // Over HTTP/2 a response whose connection is gone counts as finished, and its stream as closed without an error.
    const isReset = 'stream' in request && (request.stream.rstCode !== 0 || request.stream.aborted);
    const arrived = response.headersSent && response.writableFinished && !isReset;
    const { bytesRead = 0 } = request as { bytesRead?: number };
    const { bytesWritten = 0 } = response as { bytesWritten?: number };
    this.end(response.headersSent ? response.statusCode : undefined, bytesRead, bytesWritten, !arrived);
  }
}

export type RpcProtocol = 'connect' | 'grpc' | 'grpc-web';
