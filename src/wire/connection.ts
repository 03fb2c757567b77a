import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse, Http2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { StreamResets } from '#src/wire/stream-resets.ts';
import { StreamScheduler } from '#src/wire/stream-scheduler.ts';

export type HttpRequest = IncomingMessage | Http2ServerRequest;
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** The record of one connection of the public port, for as long as it lives. */
export class Connection {
  readonly socket: Socket;
  /** The peer's address, or the client's, if the peer is a proxy that has named it (PROXY protocol). */
  readonly remoteAddress: string;
  /** Whether that is a trusted proxy, so that each request may come from another client. */
  readonly isTrustedProxy: boolean;
  /** The HTTP/2 session; unset: the connection speaks HTTP/1.1, or nothing yet. */
  session: Http2Session | undefined = undefined;
  /** HTTP/2: the number of open streams, and of all streams so far. */
  readonly openStreams = new Set<ServerHttp2Stream>();
  streamsOpened = 0;
  readonly streamTurns = new StreamScheduler();
  readonly streamResets = new StreamResets();
  /** HTTP/2: it was ended for a flood. Its waiting streams are dropped. */
  flooded = false;
  /** HTTP/2: ends it for its resets. */
  endForResets: () => void = () => {};
  /** HTTP/1.1: the response to the latest request; unset: none has come. */
  latestResponse: ServerResponse | undefined = undefined;
  /** HTTP/1.1: the next answer is the last one, and announces that. */
  retiring = false;
  /** Its last answer has left, and it is about to close. Further bytes are not a request. */
  closing = false;

  constructor(socket: Socket, remoteAddress: string, isTrustedProxy: boolean) {
    this.socket = socket;
    this.remoteAddress = remoteAddress;
    this.isTrustedProxy = isTrustedProxy;
  }

  /** HTTP/2: a stream has arrived. It may be reset already. */
  streamOpened(stream: ServerHttp2Stream): void {
    this.streamsOpened++;
    if (!stream.closed) this.openStreams.add(stream);
    else if (this.streamResets.count()) this.endForResets();
  }

  /** HTTP/2: a stream has closed, with or without its answer. */
  streamClosed(stream: ServerHttp2Stream): void {
    const isOpen = this.openStreams.delete(stream);
    // Streams that close with their session were not reset.
    if (isOpen && stream.aborted && this.session?.destroyed === false && this.streamResets.count()) this.endForResets();
  }

  /** HTTP/1.1: whether a request is not answered in full. */
  get answering(): boolean {
    return this.latestResponse !== undefined && !this.latestResponse.closed;
  }
}

/** HTTP/1.1: makes the next answer say `Connection: close`, also if its call already runs. */
export function retire(connection: Connection): void {
  const { latestResponse } = connection;
  connection.retiring = true;
  if (latestResponse !== undefined && !latestResponse.headersSent) latestResponse.shouldKeepAlive = false;
}

/** Lets connectionOf find the connection by its socket or HTTP/2 session. */
export function attachConnection(exchange: Socket | Http2Session, connection: Connection): void {
  (exchange as HttpExchange)[kConnection] = connection;
}

/** The connection of a request; undefined if its session is already gone. */
export function connectionOf(request: HttpRequest): Connection | undefined {
  const exchange = 'stream' in request ? request.stream.session : request.socket;
  return (exchange as HttpExchange | undefined)?.[kConnection];
}

/** The connection of a socket; undefined if it is not of the public port. */
export function connectionOfSocket(socket: object): Connection | undefined {
  return (socket as HttpExchange)[kConnection];
}

const kConnection = Symbol('connection');

interface HttpExchange {
  [kConnection]?: Connection;
}
