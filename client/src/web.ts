import { type Client, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web';
import { PostService } from '../../gen/web/blog/v1/post_service_pb.js';
import { toCanonicalRead } from './canonical-read.ts';
import { withRetries } from './retry.ts';
import { withUnaryTimeout } from './web-timeout.ts';

/** A typed client: one async method for each RPC. */
export type PostClient = Client<typeof PostService>;

/** How a client in a browser talks to the service, whatever the protocol. Every option may be left out. */
export interface GrpcWebPostClientOptions {
  /** Whether messages go as binary Protobuf, or as JSON. Default: JSON with Connect, binary with gRPC-Web. */
  readonly useBinaryFormat?: boolean;
  /**
   * How long, in milliseconds, the browser waits for the answer of unary calls that set no `timeoutMs` of their own;
   * then they fail with DEADLINE_EXCEEDED. Streams have no such limit, for they are meant to last. 0: none.
   * Default: 10,000, the service's own deadline. Nothing is sent for it, since the header would cost a read from
   * another origin a CORS preflight.
   */
  readonly timeoutMs?: number;
  /**
   * The most attempts of a unary call that fails with UNAVAILABLE, within its deadline: a read, or a creation with a `requestId`.
   * Other calls are made once. Default: 4. 1: no repetition.
   */
  readonly attempts?: number;
  /** Run around every attempt, the first outermost. Put a `validationInterceptor()` last. Default: none. */
  readonly interceptors?: readonly Interceptor[];
  /** In place of the global `fetch`, to send credentials for instance. */
  readonly fetch?: typeof globalThis.fetch;
}

/** How a client in a browser talks to the service over Connect. Every option may be left out. */
export interface PostClientOptions extends GrpcWebPostClientOptions {
  /**
   * Whether reads go as GET, which needs no CORS preflight and which HTTP caches can answer. The same request in the same
   * format has the same URL always, from any client of this package and from connect-go. One whose URL would be longer than
   * 8 KiB goes as POST. Default: yes.
   */
  readonly useHttpGet?: boolean;
}

/**
 * Makes a client of the service at `baseUrl`, such as `https://posts.example.com`, or `/` for the page's own origin.
 *
 * It speaks Connect with `fetch`: every call is a plain HTTP request that the browser's network panel shows. A failed
 * call throws a `ConnectError`; `@postservice/client/errors` reads what it carries. Its messages carry no validation
 * rules, which keeps the bundle small; `@postservice/client/validate` brings them.
 */
export function createPostClient(baseUrl: string, options: PostClientOptions = {}): PostClient {
  const { timeoutMs = 10_000, useBinaryFormat = false, useHttpGet = true } = options;
  const fetch = withCanonicalReads(options.fetch);
  const transport = createConnectTransport({ baseUrl, useBinaryFormat, useHttpGet, ...shared({ ...options, fetch }) });
  return createClient(PostService, withUnaryTimeout(withRetries(transport, options.attempts ?? 4), timeoutMs));
}

/**
 * As createPostClient, over gRPC-Web, for proxies that know nothing else. A function of its own, so that a bundle holds
 * only the protocol that it uses.
 */
export function createGrpcWebPostClient(baseUrl: string, options: GrpcWebPostClientOptions = {}): PostClient {
  const { timeoutMs = 10_000, useBinaryFormat = true } = options;
  const transport = createGrpcWebTransport({ baseUrl, useBinaryFormat, ...shared(options) });
  return createClient(PostService, withUnaryTimeout(withRetries(transport, options.attempts ?? 4), timeoutMs));
}

function shared({ interceptors = [], fetch }: GrpcWebPostClientOptions) {
  return { interceptors: [...interceptors], ...(fetch && { fetch }) };
}

function withCanonicalReads(fetch: typeof globalThis.fetch | undefined): typeof globalThis.fetch {
  return (input, init) => {
    // The global one is looked up for each call, as connect-web does: a page may replace it.
    const send = fetch ?? globalThis.fetch;
    // connect-web gives a URL as text, always.
    if (init?.method !== 'GET' || typeof input !== 'string') return send(input, init);
    const { header: headers, url, ...read } = toCanonicalRead(input, new Headers(init.headers));
    return send(url, { ...init, ...read, headers });
  };
}
