import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web';
import { PostService } from '../gen/web/blog/v1/post_service_pb.js';
import { toCanonicalRead } from './canonical-read.js';
import { withRetries } from './retry.js';
import { withUnaryTimeout } from './web-timeout.js';
/**
 * Makes a client of the service at `baseUrl`, such as `https://posts.example.com`, or `/` for the page's own origin.
 *
 * It speaks Connect with `fetch`: every call is a plain HTTP request that the browser's network panel shows. A failed
 * call throws a `ConnectError`; `@postservice/client/errors` reads what it carries. Its messages carry no validation
 * rules, which keeps the bundle small; `@postservice/client/validate` brings them.
 */
export function createPostClient(baseUrl, options = {}) {
    const { timeoutMs = 10_000, useBinaryFormat = false, useHttpGet = true } = options;
    const fetch = withCanonicalReads(options.fetch);
    const transport = createConnectTransport({ baseUrl, useBinaryFormat, useHttpGet, ...shared({ ...options, fetch }) });
    return createClient(PostService, withUnaryTimeout(withRetries(transport, options.attempts ?? 4), timeoutMs));
}
/**
 * As createPostClient, over gRPC-Web, for proxies that know nothing else. A function of its own, so that a bundle holds
 * only the protocol that it uses.
 */
export function createGrpcWebPostClient(baseUrl, options = {}) {
    const { timeoutMs = 10_000, useBinaryFormat = true } = options;
    const transport = createGrpcWebTransport({ baseUrl, useBinaryFormat, ...shared(options) });
    return createClient(PostService, withUnaryTimeout(withRetries(transport, options.attempts ?? 4), timeoutMs));
}
function shared({ interceptors = [], fetch }) {
    return { interceptors: [...interceptors], ...(fetch && { fetch }) };
}
function withCanonicalReads(fetch) {
    return (input, init) => {
        // The global one is looked up for each call, as connect-web does: a page may replace it.
        const send = fetch ?? globalThis.fetch;
        // connect-web gives a URL as text, always.
        if (init?.method !== 'GET' || typeof input !== 'string')
            return send(input, init);
        const { header: headers, url, ...read } = toCanonicalRead(input, new Headers(init.headers));
        return send(url, { ...init, ...read, headers });
    };
}
