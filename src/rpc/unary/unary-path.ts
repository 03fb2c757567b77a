import type { ServerResponse } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { Code, ConnectError } from '@connectrpc/connect';
import type { Compression } from '@connectrpc/connect/protocol';
import { TimerWheel } from '#src/async/timer-wheel.ts';
import type { ByteBudget } from '#src/resilience/byte-budget.ts';
import { formatOf } from '#src/rpc/media-type.ts';
import { RecentMap } from '#src/rpc/unary/codec/recent-map.ts';
import { createUnaryMethod, type UnaryMethod, type UnaryMethodInit } from '#src/rpc/unary/codec/unary-method.ts';
import type { UnaryCallInit } from '#src/rpc/unary/protocol/call-context.ts';
import { ConnectCall } from '#src/rpc/unary/protocol/connect-call.ts';
import { type GetQuery, GetQueryError, parseGetQuery } from '#src/rpc/unary/protocol/get-query.ts';
import { GrpcCall } from '#src/rpc/unary/protocol/grpc-call.ts';
import { type DeadlineBounds, parseTimeout } from '#src/rpc/unary/protocol/timeout.ts';
import type { UnaryHooks, UnarySettings } from '#src/rpc/unary/protocol/unary-settings.ts';
import type { CallRecord } from '#src/wire/call-record.ts';
import { createCompressor } from '#src/wire/compressor.ts';
import { contentCodingOf } from '#src/wire/content-coding.ts';
import type { HttpExchange } from '#src/wire/http-exchange.ts';
import { Http1Exchange, type Http1Request } from '#src/wire/http1-exchange.ts';
import { Http2Exchange } from '#src/wire/http2-exchange.ts';
import type { RequestHead } from '#src/wire/request-head.ts';

/**
 * Serves unary calls of Connect and gRPC with only what the protocols require between socket and handler. Of calls by POST it serves what
 * clients really send, and declines the rest, which @connectrpc/connect-node serves.
 *
 * It serves all calls by GET, because caches rely on their answers: ETag, Vary, Cache-Control, 304, and no-store for errors.
 */
export interface UnaryPath {
  /**
   * Serves a request over HTTP/1.1, or returns false and leaves it untouched.
   *
   * @param fields names in lower case and values, in turn, of every response, such as the request's id.
   * @param record handed to the hooks.
   */
  readonly takeHttp1: (
    request: Http1Request,
    response: ServerResponse,
    head: RequestHead,
    fields: string[],
    record: CallRecord,
  ) => boolean;
  /** The same for a stream of HTTP/2, with the arguments of Node's event. */
  readonly takeHttp2: (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    head: RequestHead,
    fields: string[],
    record: CallRecord,
  ) => boolean;
}

export interface UnaryPathOptions extends UnaryHooks {
  readonly methods: readonly UnaryMethodInit[];
  /** Whether it serves calls by POST. */
  readonly takesPost: boolean;
  /** The most bytes of a request message, as sent and as inflated, and of a response message. */
  readonly readMaxBytes: number;
  readonly writeMaxBytes: number;
  /** The memory budget of large answers. */
  readonly largeAnswers: ByteBudget;
  /** The accepted compressions of requests. */
  readonly acceptCompression: readonly Compression[];
  /** The size in bytes from which responses are compressed, and how many at once. */
  readonly compressResponses: { readonly minBytes: number; readonly concurrency: number };
  readonly deadline: DeadlineBounds;
  /** How long a request's body may take to arrive, in milliseconds. */
  readonly bodyTimeoutMs: number;
  /** Cache-Control of answers to GET, by procedure, such as `blog.v1.PostService/GetPost`. */
  readonly cacheControl: Readonly<Record<string, string>>;
  /** Aborted with a ConnectError when the server no longer waits for calls to end. */
  readonly shutdownSignal: AbortSignal;
}

export function createUnaryPath(options: UnaryPathOptions): UnaryPath {
  const methods = new Map<string, UnaryMethod>();
  for (const init of options.methods) {
    const procedure = `${init.method.parent.typeName}/${init.method.name}`;
    methods.set(`/${procedure}`, createUnaryMethod(init, options.cacheControl[procedure]));
  }
  const recentQueries = new RecentMap<GetQuery>(RECENT_QUERIES_MAX);
  const decompressions = new Map(options.acceptCompression.map(compression => [compression.name, compression]));
  const encodings = [...decompressions.keys()];
  const settings: UnarySettings = {
    ...options,
    compressor: createCompressor(options.compressResponses),
    encodings,
    deadlines: new TimerWheel(),
    running: new Set(),
    decompress: async (name, bytes) => {
      const compression = decompressions.get(name);
      if (compression === undefined) throw unknownCompression(name, encodings);
      return compression.decompress(bytes, options.readMaxBytes);
    },
  };
  options.shutdownSignal.addEventListener('abort', () => {
    for (const call of settings.running) call.abort(options.shutdownSignal.reason);
  });

  /** Clients use the same URLs for the same requests. */
  function readQuery(text: string): GetQuery {
    if (text.length > QUERY_MAX_LENGTH) return parseGetQuery(text);
    let query = recentQueries.get(text);
    if (query === undefined) {
      query = parseGetQuery(text);
      recentQueries.set(text, query);
    }
    return query;
  }

  /** Serves a request, or returns false. Calls `carry` only for a request that it serves. */
  function take(
    head: RequestHead,
    fields: string[],
    record: CallRecord,
    http2: boolean,
    carry: () => HttpExchange,
  ): boolean {
    const method = methods.get(head.path);
    if (method === undefined) return false;
    if (head.method === 'GET' || head.method === 'HEAD') return takeGet(method, head, fields, record, carry);
    if (!options.takesPost || head.method !== 'POST' || head.repeated.length > 0) return false;
    const format = formatOf(head.contentType);
    if (format === undefined || Number(head.contentLength) > options.readMaxBytes) return false;
    const grpc = format.protocol === 'grpc';
    // gRPC needs HTTP/2.
    if (grpc ? !http2 : format.protocol !== 'connect') return false;
    if (!grpc && head.connectProtocolVersion !== undefined && head.connectProtocolVersion !== '1') return false;
    const timeoutMs = parseTimeout(head, grpc, options.deadline);
    if (timeoutMs === null) return false;
    record.procedure = method.procedure;
    record.protocol = grpc ? 'grpc' : 'connect';
    const init: UnaryCallInit = { method, settings, httpExchange: carry(), head, fields, record, timeoutMs };
    const call = grpc ? new GrpcCall(init, format.binary) : new ConnectCall(init, format.binary);
    const coding = contentCodingOf(grpc ? head.grpcEncoding : head.contentEncoding);
    // Whatever the body holds: a client learns of an unknown compression at its first call.
    if (coding !== undefined && !decompressions.has(coding)) call.refuse(unknownCompression(coding, encodings));
    else call.readBody();
    return true;
  }

  /** GET, and HEAD, of an RPC without side effects. */
  function takeGet(
    method: UnaryMethod,
    head: RequestHead,
    fields: string[],
    record: CallRecord,
    carry: () => HttpExchange,
  ): boolean {
    if (!method.isSafe) return false;
    record.procedure = method.procedure;
    record.protocol = 'connect';
    let query: GetQuery | undefined;
    let timeoutMs: number | undefined | null;
    let fault: ConnectError | undefined;
    let status = 400;
    try {
      query = readQuery(head.query);
      timeoutMs = head.repeated.includes('connectTimeout') ? null : parseTimeout(head, false, options.deadline);
      if (timeoutMs === null) fault = badTimeout(head);
    } catch (error) {
      if (!(error instanceof GetQueryError)) throw error;
      fault = new ConnectError(error.message, Code.InvalidArgument);
      status = error.status;
    }
    const init = { method, settings, httpExchange: carry(), head, fields, record, timeoutMs: timeoutMs ?? undefined };
    const call = new ConnectCall(init, query?.binary === true);
    if (query === undefined || fault !== undefined) call.refuseQuery(fault, status);
    else call.readQuery(query);
    return true;
  }

  return {
    takeHttp1: (request, response, head, fields, record) =>
      take(head, fields, record, false, () => new Http1Exchange(request, response)),
    takeHttp2: (stream, headers, rawHeaders, head, fields, record) =>
      take(head, fields, record, true, () => new Http2Exchange(stream, headers, rawHeaders, record)),
  };
}

/** Both generations hold at most 2 MB of queries, and as much of their meaning. */
const RECENT_QUERIES_MAX = 1024;
const QUERY_MAX_LENGTH = 1024;

function badTimeout({ connectTimeout }: RequestHead): ConnectError {
  const given = connectTimeout?.slice(0, 64);
  return new ConnectError(
    `connect-timeout-ms: must be one whole number of milliseconds above 0, of at most 10 digits; it is "${given}"`,
    Code.InvalidArgument,
  );
}

/** UNIMPLEMENTED for an unknown encoding. It names the accepted ones, in connect-node's words. */
export function unknownCompression(name: string, encodings: readonly string[]): ConnectError {
  return new ConnectError(
    `unknown compression "${name}": supported encodings are ${encodings.join(',')}`,
    Code.Unimplemented,
  );
}
