import { createClient } from '@connectrpc/connect';
import { createTransport as createConnectTransport } from '@connectrpc/connect/protocol-connect';
import { compressionBrotli, compressionGzip, createGrpcTransport, createGrpcWebTransport, createNodeHttpClient, } from '@connectrpc/connect-node';
import { PostService } from '../gen/blog/v1/post_service_pb.js';
import { toCanonicalRead } from './canonical-read.js';
import { GuardedHttp2SessionManager } from './http2-session-manager.js';
import { withRetries } from './retry.js';
/**
 * Makes a client of the service at `baseUrl`, such as `https://posts.example.com`.
 *
 * Nothing is opened before the first call, and idle connections neither keep the process alive nor need closing. Make
 * one client and share it: it holds the connection. A failed call throws a `ConnectError`; `@postservice/client/errors`
 * reads what it carries.
 *
 * @throws TypeError unless `baseUrl` is an http or https URL, or when the protocol does not exist on the version of HTTP.
 */
export function createPostClient(baseUrl, options = {}) {
    const { protocol = 'connect', httpVersion = protocol === 'grpc' ? '2' : '1.1' } = options;
    if (!URL.canParse(baseUrl) || !/^https?:$/.test(new URL(baseUrl).protocol)) {
        throw new TypeError(`baseUrl: ${JSON.stringify(baseUrl)} must be an http or https URL`);
    }
    if (protocol === 'grpc' && httpVersion !== '2')
        throw new TypeError('httpVersion: gRPC needs HTTP/2');
    const transport = withRetries(createTransport(baseUrl, protocol, httpVersion, options), options.attempts ?? 4);
    return createClient(PostService, withUnaryTimeout(transport, options.timeoutMs ?? 10_000));
}
function createTransport(baseUrl, protocol, httpVersion, { useBinaryFormat = true, useHttpGet = true, readMaxBytes = 16 * 1024 * 1024, ...options }) {
    const common = { baseUrl, useBinaryFormat, readMaxBytes, interceptors: [...(options.interceptors ?? [])] };
    const http = httpVersion === '2' ? http2(baseUrl, options) : http1(options);
    if (protocol === 'grpc')
        return createGrpcTransport({ ...common, ...http2(baseUrl, options) });
    if (protocol === 'grpc-web')
        return createGrpcWebTransport({ ...common, ...http });
    const httpClient = createNodeHttpClient(http.httpVersion === '2' ? { httpVersion: '2', sessionProvider: () => http.sessionManager } : http);
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
function withCanonicalReads(send) {
    return request => {
        if (request.method !== 'GET')
            return send(request);
        const { url, method, header, body } = toCanonicalRead(request.url, request.header);
        return send({ ...request, url, method, header, ...(body && { body: once(body) }) });
    };
}
async function* once(bytes) {
    yield bytes;
}
function http1({ nodeOptions = {} }) {
    return { httpVersion: '1.1', nodeOptions: nodeOptions };
}
function http2(baseUrl, { nodeOptions = {}, pingIntervalMs = 30_000 }) {
    // The answer to a PING takes one round trip: with 5 s, a call on a dead connection still finds a new one in time.
    const pings = { pingIntervalMs, pingTimeoutMs: 5_000 };
    const sessionManager = new GuardedHttp2SessionManager(baseUrl, pings, nodeOptions);
    return { httpVersion: '2', sessionManager };
}
/** Connect's own default timeout would also end streams. */
function withUnaryTimeout(transport, defaultTimeoutMs) {
    return {
        unary: (method, signal, timeoutMs, ...rest) => transport.unary(method, signal, timeoutMs ?? defaultTimeoutMs, ...rest),
        stream: (...call) => transport.stream(...call),
    };
}
