import type { SecureClientSessionOptions } from 'node:http2';
import type { RequestOptions } from 'node:https';
import { type Client, type Interceptor } from '@connectrpc/connect';
import { PostService } from '../gen/blog/v1/post_service_pb.js';
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
     * How often a unary call is made at most while it fails with UNAVAILABLE, within its deadline: a read, or a creation with a
     * `requestId`; others are made once. Default: 4. 1: never again.
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
export declare function createPostClient(baseUrl: string, options?: PostClientOptions): PostClient;
