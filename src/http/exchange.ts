import type { ServerHttp2Stream } from 'node:http2';
import type { Call, RpcProtocol } from '#src/rpc/call.ts';
import type { Rejection } from '#src/rpc/rejection.ts';
import type { Connection, HttpRequest, HttpResponse } from '#src/wire/connection.ts';
import type { HttpExchange, ResponseEnd } from '#src/wire/http-exchange.ts';
import type { RequestHead } from '#src/wire/request-head.ts';

/** A request, and what is known of it and of its response, from its first byte to its last. */
export class Exchange implements Call {
  readonly id: string;
  readonly startedAt = performance.now();
  readonly head: RequestHead;
  readonly httpVersion: string;
  readonly connection: Connection | undefined;
  /** The client's address: that of the connection, unless a trusted proxy has named another one. */
  remoteAddress: string;
  procedure: string | undefined = undefined;
  protocol: RpcProtocol | undefined = undefined;
  code: string | undefined = undefined;
  answered = false;
  cause: unknown = undefined;
  /** Why it never became an RPC. */
  refusal: Rejection | undefined = undefined;
  /** Served by connect-node, not by the fast path. */
  adapted = false;
  /** Gives back what it holds, once it has ended; unset: it holds nothing. */
  release: (() => void) | undefined = undefined;
  readonly #end: ExchangeEnd;

  constructor(
    id: string,
    head: RequestHead,
    httpVersion: string,
    connection: Connection | undefined,
    end: ExchangeEnd,
  ) {
    this.id = id;
    this.head = head;
    this.httpVersion = httpVersion;
    this.connection = connection;
    this.remoteAddress = connection?.remoteAddress ?? '';
    this.#end = end;
  }

  /** The fast path is done with it. */
  ended({ status, bytesWritten, aborted }: ResponseEnd, { bytesRead }: HttpExchange): void {
    this.#end(this, { status, bytesRead, bytesWritten, aborted });
  }

  /** The fast path's stream has closed. */
  streamClosed(stream: ServerHttp2Stream): void {
    this.connection?.streamClosed(stream);
  }

  /** Its response has closed, in full or not. */
  closed(request: HttpRequest, response: HttpResponse): void {
    // Over HTTP/2 a response whose connection is gone counts as finished, and its stream as closed without an error.
    const isReset = 'stream' in request && (request.stream.rstCode !== 0 || request.stream.aborted);
    const arrived = response.headersSent && response.writableFinished && !isReset;
    this.#end(this, {
      status: response.headersSent ? response.statusCode : undefined,
      bytesRead: (request as { bytesRead?: number }).bytesRead ?? 0,
      bytesWritten: (response as { bytesWritten?: number }).bytesWritten ?? 0,
      aborted: !arrived,
    });
  }
}

/** What is done when an exchange has ended. */
export type ExchangeEnd = (exchange: Exchange, outcome: ExchangeOutcome) => void;

export interface ExchangeOutcome {
  /** The HTTP status; undefined: the client was gone before there was one. */
  readonly status: number | undefined;
  /** Bytes of the bodies. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** The client did not get the whole response. */
  readonly aborted: boolean;
}
