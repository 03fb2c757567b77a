import type { Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import * as web from '@connectrpc/connect-web';
import { GuardedHttp2SessionManager } from '#client/http2-session-manager.ts';

/**
 * Every way to the service that Connect's clients have, by what it is. They set no deadline of their own.
 *
 * `options.ca` is the certificate to trust; the browser's transports can't be given one.
 */
export const TRANSPORTS = {
  'Connect in protobuf over HTTP/1.1': (baseUrl, { ca, agent } = {}) =>
    createConnectTransport({ baseUrl, httpVersion: '1.1', nodeOptions: { ca, agent } }),
  'Connect in JSON over HTTP/1.1': (baseUrl, { ca, agent } = {}) =>
    createConnectTransport({ baseUrl, httpVersion: '1.1', nodeOptions: { ca, agent }, useBinaryFormat: false }),
  'Connect over HTTP/1.1, reads as GET': (baseUrl, { ca, agent } = {}) =>
    createConnectTransport({ baseUrl, httpVersion: '1.1', nodeOptions: { ca, agent }, useHttpGet: true }),
  'Connect over HTTP/2': (baseUrl, options) => createConnectTransport({ baseUrl, ...http2(baseUrl, options) }),
  'gRPC over HTTP/2': (baseUrl, options) => createGrpcTransport({ baseUrl, ...http2(baseUrl, options) }),
  'gRPC-Web over HTTP/1.1': (baseUrl, { ca, agent } = {}) =>
    createGrpcWebTransport({ baseUrl, httpVersion: '1.1', nodeOptions: { ca, agent } }),
  'gRPC-Web over HTTP/2': (baseUrl, options) => createGrpcWebTransport({ baseUrl, ...http2(baseUrl, options) }),
  'Connect in a browser': baseUrl => web.createConnectTransport({ baseUrl }),
  'Connect in a browser, reads as GET': baseUrl => web.createConnectTransport({ baseUrl, useHttpGet: true }),
  'gRPC-Web in a browser': baseUrl => web.createGrpcWebTransport({ baseUrl }),
} as const satisfies Record<string, (baseUrl: string, options?: TransportOptions) => Transport>;

export type TransportName = keyof typeof TRANSPORTS;

/** One transport for each encoding of errors that there is. */
export const ERROR_ENCODINGS = [
  'Connect in protobuf over HTTP/1.1',
  'Connect in JSON over HTTP/1.1',
  'gRPC over HTTP/2',
  'gRPC-Web over HTTP/1.1',
] as const satisfies TransportName[];

interface TransportOptions {
  readonly ca?: string | undefined;
  /** Of HTTP/1.1; false: each call has a connection of its own. */
  readonly agent?: false | undefined;
}

function http2(baseUrl: string, { ca }: TransportOptions = {}) {
  return { httpVersion: '2', sessionManager: new GuardedHttp2SessionManager(baseUrl, {}, { ca }) } as const;
}
