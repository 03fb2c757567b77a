import type { SecureClientSessionOptions } from 'node:http2';
import type { RequestOptions } from 'node:https';
import { type Client, createClient, type Interceptor, type Transport } from '@connectrpc/connect';
import type { UniversalClientFn } from '@connectrpc/connect/protocol';
import { createTransport as createConnectTransport } from '@connectrpc/connect/protocol-connect';
import {
  compressionBrotli,
  compressionGzip,
  createGrpcTransport,
  createGrpcWebTransport,
  createNodeHttpClient,
} from '@connectrpc/connect-node';
import { PostService } from '../../gen/blog/v1/post_service_pb.js';
import { toCanonicalRead } from './canonical-read.ts';
import { GuardedHttp2SessionManager } from './http2-session-manager.ts';
import { withRetries } from './retry.ts';

/** A typed client: one async method for each RPC. */
export type PostClient = Client<typeof PostService>;

/** How a client in Node talks to the service. Every option may be left out. */
export interface PostClientOptions {
  /** The protocol. Default: `connect`, which is plain HTTP to every proxy, cache and tool on the way. */
  readonly protocol?: 'connect' | 'grpc' | 'grpc-web';
  /**
   * The version of HTTP. Default: `2` for gRPC, which knows no other, and `1.1` for the rest. Without TLS, `2` means
   * HTTP/2 by prior knowledge (h2c).
   */
  readonly httpVersion?: '1.1' | '2';
  /** Whether messages go as binary Protobuf, or as JSON. Default: binary, which is smaller and faster. */
  readonly useBinaryFormat?: boolean;
  /**
   * Whether reads go as GET, which HTTP caches can answer; Connect only. The same request has the same URL always, from any
   * client of this package and from connect-go. One whose URL would be longer than 8 KiB goes as POST. Default: yes.
   */
  readonly useHttpGet?: boolean;
  /**
   * The deadline, in milliseconds, of unary calls that set no `timeoutMs` of their own. It travels to the server, which
   * stops its work when it passes. Streams have none, for they are meant to last. 0: none. Default: 10,000, the same as
   * the service's own.
   */
  readonly timeoutMs?: number;
  /**
   * The most attempts of a unary call that fails with UNAVAILABLE, within its deadline: a read, or a creation with a `requestId`.
   * Other calls are made once. Default: 4. 1: no repetition.
   */
  readonly attempts?: number;
  /** Run around every attempt, the first outermost. Put a `validationInterceptor()` last. Default: none. */
  readonly interceptors?: readonly Interceptor[];
  /**
   * The most bytes of one answer, inflated; beyond that the call fails with RESOURCE_EXHAUSTED. Default: 16 MiB, which
   * every answer of the service fits in, and a broken or hostile peer's does not.
   */
  readonly readMaxBytes?: number;
  /**
   * HTTP/2 only: how long, in milliseconds, a connection may be silent before it is tested with a PING: while calls
   * run, and before the next call. Without it a connection whose peer vanished looks alive until the deadline.
   * Default: 30,000.
   */
  readonly pingIntervalMs?: number;
  /** Passed to Node's `http.request`, `https.request` or `http2.connect`: certificates, an agent. Default: none. */
  readonly nodeOptions?: Omit<RequestOptions, 'signal'> | SecureClientSessionOptions;
}

/**
 * Makes a client of the service at `baseUrl`, such as `https://posts.example.com`.
 *
 * Nothing is opened before the first call, and idle connections neither keep the process alive nor need closing. Make
 * one client and share it: it holds the connection. A failed call throws a `ConnectError`; `@postservice/client/errors`
 * reads what it carries.
 *
 * @throws TypeError unless `baseUrl` is an http or https URL, or when the protocol does not exist on the version of HTTP.
 */
export function createPostClient(baseUrl: string, options: PostClientOptions = {}): PostClient {
  const { protocol = 'connect', httpVersion = protocol === 'grpc' ? '2' : '1.1' } = options;
  if (!URL.canParse(baseUrl) || !/^https?:$/.test(new URL(baseUrl).protocol)) {
    throw new TypeError(`baseUrl: ${JSON.stringify(baseUrl)} must be an http or https URL`);
  }
  if (protocol === 'grpc' && httpVersion !== '2') throw new TypeError('httpVersion: gRPC needs HTTP/2');
  const transport = withRetries(createTransport(baseUrl, protocol, httpVersion, options), options.attempts ?? 4);
  return createClient(PostService, withUnaryTimeout(transport, options.timeoutMs ?? 10_000));
}

function createTransport(
  baseUrl: string,
  protocol: NonNullable<PostClientOptions['protocol']>,
  httpVersion: NonNullable<PostClientOptions['httpVersion']>,
  { useBinaryFormat = true, useHttpGet = true, readMaxBytes = 16 * 1024 * 1024, ...options }: PostClientOptions,
): Transport {
  const common = { baseUrl, useBinaryFormat, readMaxBytes, interceptors: [...(options.interceptors ?? [])] };
  const http = httpVersion === '2' ? http2(baseUrl, options) : http1(options);
  if (protocol === 'grpc') return createGrpcTransport({ ...common, ...http2(baseUrl, options) });
  if (protocol === 'grpc-web') return createGrpcWebTransport({ ...common, ...http });
  const httpClient = createNodeHttpClient(
    http.httpVersion === '2' ? { httpVersion: '2', sessionProvider: () => http.sessionManager } : http,
  );
  // As connect-node has it: its own createConnectTransport takes no HTTP client.
  return createConnectTransport({
    ...common,
    useHttpGet,
    httpClient: withCanonicalReads(httpClient),
    acceptCompression: [compressionGzip, compressionBrotli],
    sendCompression: null,
    compressMinBytes: 1024,
    writeMaxBytes: 0xffff_ffff,
  });
}

function withCanonicalReads(send: UniversalClientFn): UniversalClientFn {
  return request => {
    if (request.method !== 'GET') return send(request);
    const { url, method, header, body } = toCanonicalRead(request.url, request.header);
    return send({ ...request, url, method, header, ...(body && { body: once(body) }) });
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function http1({ nodeOptions = {} }: PostClientOptions) {
  return { httpVersion: '1.1' as const, nodeOptions: nodeOptions as RequestOptions };
}

function http2(baseUrl: string, { nodeOptions = {}, pingIntervalMs = 30_000 }: PostClientOptions) {
  // The answer to a PING takes one round trip: with 5 s, a call on a dead connection still finds a new one in time.
  const pings = { pingIntervalMs, pingTimeoutMs: 5_000 };
  const sessionManager = new GuardedHttp2SessionManager(baseUrl, pings, nodeOptions as SecureClientSessionOptions);
  return { httpVersion: '2' as const, sessionManager };
}

/** Connect's own default timeout would also end streams. */
function withUnaryTimeout(transport: Transport, defaultTimeoutMs: number): Transport {
  return {
    unary: (method, signal, timeoutMs, ...rest) =>
      transport.unary(method, signal, timeoutMs ?? defaultTimeoutMs, ...rest),
    stream: (...call) => transport.stream(...call),
  };
}
