import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import type { ConnectError } from '@connectrpc/connect';
import { codeToString, createEndStreamSerialization, errorFromJsonBytes } from '@connectrpc/connect/protocol-connect';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { trailerParse } from '@connectrpc/connect/protocol-grpc-web';
import { describe, expect, it } from 'vitest';
import { errorInfo } from '#client/errors.ts';
import { answerRejection, REJECTIONS, type RejectionAnswer } from '#src/rpc/rejection.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { readToEnd, sendRaw, statusOf } from '#test/support/raw-http.ts';
import { sendRawRpc } from '#test/support/raw-rpc.ts';

const CHECK = '/grpc.health.v1.Health/Check';
const WATCH = '/grpc.health.v1.Health/Watch';
const UNARY = ['application/json', 'application/proto'];
const STREAM = ['application/connect+json', 'application/connect+proto'];
const GRPC = ['application/grpc', 'application/grpc+proto', 'application/grpc+json'];
const WEB = ['application/grpc-web', 'application/grpc-web+proto', 'application/grpc-web+json'];
const NOTHING = new Uint8Array();

/** Reads an answer as a client of its content type does. */
const READERS: readonly [RegExp, (answer: RejectionAnswer) => ConnectError | undefined][] = [
  [/^application\/grpc-web/, ({ body = NOTHING }) => findTrailerError(trailerParse(body.subarray(5)))],
  [/^application\/grpc/, ({ fields }) => findTrailerError(toHeaders(fields))],
  [
    /^application\/connect/,
    ({ body = NOTHING }) => createEndStreamSerialization(undefined).parse(body.subarray(5)).error,
  ],
  [
    /^application\/json$/,
    ({ body = NOTHING }) => errorFromJsonBytes(body, undefined, new Error('no error') as ConnectError),
  ],
];

describe.for(Object.entries(REJECTIONS))('The refusal %s', ([, refusal]) => {
  it.for([...UNARY, ...STREAM, ...GRPC, ...WEB].flatMap(type => [true, false].map(isHttp2 => ({ type, isHttp2 }))))(
    'is an error with its ErrorInfo for a caller by $type, HTTP/2: $isHttp2',
    ({ type, isHttp2 }) => {
      const answer = answerRejection(refusal, type, isHttp2);
      const error = read(answer);
      expect(error).toMatchObject({ code: refusal.code, rawMessage: refusal.message });
      expect(error && errorInfo(error)).toMatchObject({ reason: refusal.reason, domain: 'blog.v1.PostService' });
      const answerType = toHeaders(answer.fields).get('content-type');
      const isJson = UNARY.includes(type) || (GRPC.includes(type) && !isHttp2);
      expect(answerType).toBe(isJson ? 'application/json' : type);
      expect(answer.status).toBe(isJson ? refusal.status : 200);
    },
  );

  it.each([undefined, 'text/html', 'application/xml', 'application/x-www-form-urlencoded', ''])(
    'is JSON with its status for a caller by %j',
    type => {
      const answer = answerRejection(refusal, type, true);
      expect(answer.status).toBe(refusal.status);
      expect(read(answer)).toMatchObject({ code: refusal.code });
    },
  );

  it.each(['application/grpc+xml', 'application/grpc-web-text', 'Application/gRPC ; a=b'])(
    'is in the family of a caller by %s',
    type => expect(read(answerRejection(refusal, type, true))).toMatchObject({ code: refusal.code }),
  );

  it('may be kept by no cache', () => {
    expect(toHeaders(answerRejection(refusal, undefined, false).fields).get('cache-control')).toBe('no-store');
  });
});

describe('A request by', () => {
  it.for([
    ...both(['application/json', 'application/grpc', 'application/grpc-web+proto'], CHECK),
    ...both(['application/connect+json', 'application/grpc', 'application/grpc-web+json'], WATCH),
  ])('$type to an unknown path is told so', async ({ type }) => {
    await using port = await openPublicPort();
    expect(await refused(port.url, type, '/nowhere')).toEqual(['unimplemented', 'UNKNOWN_PATH']);
  });

  it.for([
    ...both(['application/json', 'application/grpc', 'application/grpc-web+proto'], CHECK),
    ...both(['application/connect+json', 'application/grpc', 'application/grpc-web+json'], WATCH),
  ])('$type with a method that the RPC does not take is told so: $path', async ({ type, path }) => {
    await using port = await openPublicPort();
    expect(await refused(port.url, type, path, {}, 'PUT')).toEqual(['unimplemented', 'METHOD_NOT_ALLOWED']);
  });

  it.for([
    ...both(['application/json', 'application/grpc', 'application/grpc-web+proto'], CHECK),
    ...both(['application/connect+json', 'application/grpc', 'application/grpc-web+json'], WATCH),
  ])('$type with a header that is too large is told so: $path', async ({ type, path }) => {
    await using port = await openPublicPort();
    const headers = { 'x-large': 'a'.repeat(24_000) };
    expect(await refused(port.url, type, path, headers)).toEqual(['resource_exhausted', 'HEADERS_TOO_LARGE']);
    await port.log.line({ refused: 'HEADERS_TOO_LARGE' });
    expect(await port.metric('http_non_rpc_requests_total{reason="HEADERS_TOO_LARGE",status="431"}')).toBe(1);
  });

  it.each([
    ['application/xml', CHECK, 'application/json'],
    ['application/connect+json', CHECK, 'application/json'],
    ['application/json', WATCH, 'application/connect+json'],
    ['application/connect+xml', WATCH, 'application/connect+json'],
    ['application/grpc+xml', CHECK, 'gRPC'],
    ['application/grpc-web+xml', WATCH, 'gRPC-Web'],
  ])('%s to %s is told of %s', async (type, path, right) => {
    await using port = await openPublicPort();
    const { error, status } = await sendRawRpc(port.url + path, type, NOTHING);
    expect(status).toBe(type.includes('grpc') ? 200 : 415);
    expect(error && errorInfo(error)?.reason).toBe('UNSUPPORTED_MEDIA_TYPE');
    expect(error?.rawMessage).toContain(right);
  });

  it('application/json to a stream is told of the prefix of 5 bytes', async () => {
    await using port = await openPublicPort();
    const { error } = await sendRawRpc(port.url + WATCH, 'application/json', NOTHING);
    expect(error?.rawMessage).toContain('5 bytes');
  });

  it.each(['application/connect+json', 'application/grpc-web+proto'])(
    '%s over HTTP/1.1 to an RPC that streams both ways is told to use HTTP/2',
    async type => {
      await using port = await openPublicPort({ reflected: true });
      const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
      expect(await refused(port.url, type, path)).toEqual(['unimplemented', 'HTTP2_REQUIRED']);
    },
  );
});

describe('A request over HTTP/1.1 that the parser refuses', () => {
  const request = (fields: string) =>
    `POST ${CHECK} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web+proto\r\n${fields}\r\n`;

  it.each([
    [
      'with a transfer coding that is none of ours',
      'Transfer-Encoding: gzip, chunked\r\n',
      '12',
      'UNSUPPORTED_TRANSFER_CODING',
    ],
    [
      'with a transfer coding that ends with none of ours',
      'Transfer-Encoding: gzip\r\n',
      '12',
      'UNSUPPORTED_TRANSFER_CODING',
    ],
    ['with a length of 2^63', `Content-Length: ${2n ** 63n}\r\n`, '8', undefined],
    ['with a length of 2^64', `Content-Length: ${2n ** 64n}\r\n`, '8', 'MESSAGE_TOO_LARGE'],
    ['with a header of 32 KB', `X: ${'a'.repeat(32_768)}\r\n`, '8', 'HEADERS_TOO_LARGE'],
    ['with a bad length', 'Content-Length: abc\r\n', '3', 'MALFORMED_REQUEST'],
  ])('%s gets its answer at once, in its protocol', async (_, fields, code, reason) => {
    await using port = await openPublicPort();
    const response = await sendRaw(port.port, request(`${fields}Connection: close\r\n`));
    expect(statusOf(response)).toBe(200);
    expect(response).toContain(`grpc-status: ${code}\r\n`);
    if (reason !== undefined) await port.log.line({ refused: reason });
  });

  it('as JSON gets the status', async () => {
    await using port = await openPublicPort();
    const json = (fields: string) => request(fields).replace('grpc-web+proto', 'json');
    const ask = (fields: string) => sendRaw(port.port, json(`${fields}Connection: close\r\n`));
    expect(statusOf(await ask('Transfer-Encoding: gzip, chunked\r\n'))).toBe(501);
    expect(statusOf(await ask(`Content-Length: ${2n ** 64n}\r\n`))).toBe(413);
    expect(await ask(`Content-Length: ${2n ** 63n}\r\n`)).toContain('"reason":"MESSAGE_TOO_LARGE"');
  });
});

describe('A request whose body does not come', () => {
  it.each(['application/grpc', 'application/grpc-web'])('gets DEADLINE_EXCEEDED over HTTP/2: %s', async type => {
    await using port = await openPublicPort({ bodyTimeoutMs: 50 });
    const session = http2.connect(port.url);
    const stream = session.request({ ':method': 'POST', ':path': CHECK, 'content-type': type });
    let status: unknown;
    stream.on('response', head => (status ??= head['grpc-status']));
    stream.on('trailers', trailers => (status ??= trailers['grpc-status']));
    const body = Buffer.concat(await stream.toArray()).toString('latin1');
    expect(status ?? /grpc-status: (\d+)/.exec(body)?.[1]).toBe('4');
    session.destroy();
  });

  it('gets DEADLINE_EXCEEDED over HTTP/1.1, in JSON', async () => {
    await using port = await openPublicPort({ bodyTimeoutMs: 50 });
    const socket = connect(port.port);
    socket.write(`POST ${CHECK} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n`);
    socket.setTimeout(10_000);
    const [data] = await once(socket, 'data');
    expect(String(data)).toContain('"code":"deadline_exceeded"');
    socket.destroy();
    await readToEnd(socket);
  });
});

describe('A refusal to a gRPC client', () => {
  it('is one block of headers that ends the stream', async () => {
    await using port = await openPublicPort();
    const session = http2.connect(port.url);
    const stream = session.request({ ':method': 'POST', ':path': '/nowhere', 'content-type': 'application/grpc' });
    const [head, flags] = await once(stream, 'response');
    expect(head).toMatchObject({ ':status': 200, 'grpc-status': '12' });
    expect(flags & http2.constants.NGHTTP2_FLAG_END_STREAM).toBe(1);
    session.destroy();
  });
});

describe('An error of gRPC', () => {
  it.for(
    [true, false].flatMap(fastPath =>
      [
        ['of an RPC that answers once', '/blog.v1.PostService/GetPost'],
        ['of a stream', '/blog.v1.PostService/WatchPosts'],
      ].map(([what, path]) => ({ fastPath, what, path })),
    ),
  )('$what is one block of headers that ends the stream, with FAST_PATH=$fastPath', async ({ fastPath, path }) => {
    await using port = await openPublicPort({ fastPath, requestMaxBytes: 1024 });
    const session = http2.connect(port.url);
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
    stream.end(Buffer.concat([Buffer.from([0, 0, 0, 8, 0]), Buffer.alloc(2048)]));
    const [head, flags] = await once(stream, 'response');
    expect(head).toMatchObject({ ':status': 200, 'grpc-status': '8' });
    expect(flags & http2.constants.NGHTTP2_FLAG_END_STREAM).toBe(1);
    session.destroy();
  });
});

describe('A refusal to GET', () => {
  it.each(['/nowhere', CHECK, '/blog.v1.PostService/GetPost', `/${'a'.repeat(9_000)}`])(
    'is not to be stored: %s',
    async path => {
      await using port = await openPublicPort();
      const response = await fetch(port.url + path);
      expect(response.ok).toBe(false);
      expect(response.headers.get('cache-control')).toBe('no-store');
    },
  );
});

async function refused(url: string, type: string, path: string, headers = {}, method = 'POST'): Promise<unknown[]> {
  const { error } = await sendRawRpc(url + path, type, NOTHING, headers, method);
  return [error && codeToString(error.code), error && errorInfo(error)?.reason];
}

function read(answer: RejectionAnswer): ConnectError | undefined {
  const type = toHeaders(answer.fields).get('content-type') ?? '';
  return READERS.find(([pattern]) => pattern.test(type))?.[1](answer);
}

function toHeaders(fields: readonly string[]): Headers {
  const headers = new Headers();
  for (let i = 0; i < fields.length; i += 2) headers.append(fields[i] as string, fields[i + 1] as string);
  return headers;
}

function both(types: readonly string[], path: string) {
  return types.map(type => ({ type, path }));
}
