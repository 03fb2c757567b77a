import { randomBytes } from 'node:crypto';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { ConnectError } from '@connectrpc/connect';
import { errorFromJson } from '@connectrpc/connect/protocol-connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { envelope, sendRawRpc } from '#test/support/raw-rpc.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const MIB = 1024 * 1024;
const LIST = 'blog.v1.PostService/ListPosts';
const REFLECT = 'grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
const WATCH = 'grpc.health.v1.Health/Watch';
let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

/** How the call failed that was sent as these bytes. It closes its connection, since the body may be left unread. */
async function send(procedure: string, contentType: string, body: Uint8Array | ReadableStream, headers = {}) {
  const close = contentType.startsWith('application/grpc+') ? {} : { connection: 'close' };
  const answer = await sendRawRpc(`${service.url}/${procedure}`, contentType, body, { ...headers, ...close });
  if (answer.error === undefined) throw new Error('the call succeeded');
  return failureOf(Promise.reject(answer.error));
}

const text = (json: string) => Buffer.from(json);
/** Field 1, a varint, whose bytes end too early. */
const HALF_A_FIELD = Buffer.from([0x08, 0xff]);
/** Field 6, `author`, with bytes that are no UTF-8. */
const NO_UTF8 = Buffer.from([0x32, 0x02, 0xc3, 0x28]);

describe.each([
  ['Connect in protobuf', 'application/proto', (message: Buffer) => message],
  ['gRPC', 'application/grpc+proto', (message: Buffer) => envelope(message)],
  ['gRPC-Web', 'application/grpc-web+proto', (message: Buffer) => envelope(message)],
])('%s', (_, contentType, wrap) => {
  it.each([
    ['half a field', HALF_A_FIELD],
    ['a field number of 0', Buffer.from([0x00, 0x01])],
    ['a wire type that does not exist', Buffer.from([0x0f])],
    ['a length beyond the end', Buffer.from([0x12, 0x7f, 0x41])],
    ['text that is no UTF-8', NO_UTF8],
    ['random bytes', Buffer.concat([Buffer.from([0xff]), randomBytes(1000)])],
    ['JSON', text('{"pageSize":1}')],
  ])('refuses %s as INVALID_ARGUMENT', async (_what, message) => {
    expect(await send(LIST, contentType, wrap(message))).toMatchObject({
      code: 'invalid_argument',
      reason: 'MALFORMED_REQUEST',
    });
  });

  it('takes unknown fields, which a newer client may send', async () => {
    const answer = await sendRawRpc(`${service.url}/${LIST}`, contentType, wrap(Buffer.from([0xf8, 0x7f, 0x01])));
    expect(answer).toMatchObject({ status: 200, error: undefined });
  });
});

describe.each([
  ['Connect in JSON', 'application/json', (message: Buffer) => message],
  ['gRPC in JSON', 'application/grpc+json', (message: Buffer) => envelope(message)],
  ['gRPC-Web in JSON', 'application/grpc-web+json', (message: Buffer) => envelope(message)],
])('%s', (_, contentType, wrap) => {
  it.each([
    '{',
    '{"pageSize":',
    '[]',
    'null',
    '"x"',
    '{"pageSize":"x"}',
    '{"pageSize":1.5}',
    '{"pageSize":2147483648}',
  ])('refuses %j as INVALID_ARGUMENT', async json => {
    expect(await send(LIST, contentType, wrap(text(json)))).toMatchObject({
      code: 'invalid_argument',
      reason: 'MALFORMED_REQUEST',
    });
  });

  it('takes unknown fields, however deep', async () => {
    const json = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    const answer = await sendRawRpc(`${service.url}/${LIST}`, contentType, wrap(text(json)));
    expect(answer).toMatchObject({ status: 200, error: undefined });
  });
});

describe('an envelope', () => {
  const half = envelope(Buffer.from('0801', 'hex'), 0, 100);
  const two = Buffer.concat([envelope(Buffer.alloc(0)), envelope(Buffer.alloc(0))]);
  it.each([
    ['gRPC', LIST, 'application/grpc+proto', 'that ends early', half],
    ['gRPC', LIST, 'application/grpc+proto', 'that is missing', Buffer.alloc(0)],
    ['gRPC', LIST, 'application/grpc+proto', 'whose length is cut off', Buffer.from([0, 0])],
    ['gRPC', LIST, 'application/grpc+proto', 'of which there are two', two],
    ['gRPC-Web', LIST, 'application/grpc-web+proto', 'that ends early', half],
    ['gRPC-Web', LIST, 'application/grpc-web+proto', 'that is missing', Buffer.alloc(0)],
    ['gRPC-Web', LIST, 'application/grpc-web+proto', 'whose length is cut off', Buffer.from([0, 0])],
    ['gRPC-Web', LIST, 'application/grpc-web+proto', 'of which there are two', two],
    ["Connect's streams", WATCH, 'application/connect+proto', 'that ends early', half],
    ["Connect's streams", WATCH, 'application/connect+proto', 'that is missing', Buffer.alloc(0)],
    ["Connect's streams", WATCH, 'application/connect+proto', 'of which there are two', two],
    ["Connect's streams", WATCH, 'application/connect+proto', 'with a bad message', envelope(HALF_A_FIELD)],
    ["Connect's streams", WATCH, 'application/connect+json', 'with bad JSON', envelope(text('{'))],
    ["gRPC's streams", WATCH, 'application/grpc+proto', 'that is missing', Buffer.alloc(0)],
    ["gRPC's streams", WATCH, 'application/grpc+proto', 'that ends early', half],
    ["gRPC's streams", WATCH, 'application/grpc+proto', 'with a bad message', envelope(HALF_A_FIELD)],
    ["gRPC-Web's streams", WATCH, 'application/grpc-web+proto', 'with a bad message', envelope(HALF_A_FIELD)],
    ["reflection's streams", REFLECT, 'application/grpc+proto', 'with a bad message', envelope(HALF_A_FIELD)],
    ["reflection's streams", REFLECT, 'application/grpc+proto', 'that ends early', half],
  ])('of %s for %s, as %s, %s, is refused', async (_, procedure, contentType, _what, body) => {
    const failure = await send(procedure, contentType, body);
    // The gRPC status codes give the wrong number of messages to UNIMPLEMENTED.
    expect(['invalid_argument', 'unimplemented']).toContain(failure.code);
    expect(['MALFORMED_REQUEST', 'UNSUPPORTED']).toContain(failure.reason);
  });
});

describe('an encoding of the body', () => {
  const message = gzipSync(Buffer.from('0801', 'hex'));
  it.each([
    ['Connect', 'application/proto', message, { 'content-encoding': 'zstd' }],
    ['gRPC', 'application/grpc+proto', envelope(message, 1), { 'grpc-encoding': 'zstd' }],
    ['gRPC-Web', 'application/grpc-web+proto', envelope(message, 1), { 'grpc-encoding': 'zstd' }],
  ])(
    'of %s that is not known is UNIMPLEMENTED, and the known ones are named',
    async (_, contentType, body, headers) => {
      const failure = await send(LIST, contentType, body, headers);
      expect(failure).toMatchObject({ code: 'unimplemented', reason: 'UNSUPPORTED' });
      expect(failure.message).toMatch(/gzip.*br/);
    },
  );

  it.each([
    ['Connect', 'application/proto', Buffer.from('no gzip'), { 'content-encoding': 'gzip' }],
    ['Connect', 'application/proto', message.subarray(0, -8), { 'content-encoding': 'gzip' }],
    ['gRPC', 'application/grpc+proto', envelope(Buffer.from('no gzip'), 1), { 'grpc-encoding': 'gzip' }],
    ['gRPC-Web', 'application/grpc-web+proto', envelope(Buffer.from('no gzip'), 1), { 'grpc-encoding': 'br' }],
  ])('of %s that it is not in is INVALID_ARGUMENT', async (_, contentType, body, headers) => {
    expect(await send(LIST, contentType, body, headers)).toMatchObject({
      code: 'invalid_argument',
      reason: 'MALFORMED_REQUEST',
    });
  });

  it.each([
    ['gRPC', 'application/grpc+proto'],
    ['gRPC-Web', 'application/grpc-web+proto'],
  ])('of %s that its flag tells of and no header names is INTERNAL, as gRPC has it', async (_, contentType) => {
    expect(await send(LIST, contentType, envelope(message, 1), {})).toMatchObject({
      code: 'internal',
      reason: 'MALFORMED_REQUEST',
    });
  });
});

describe('a message of more than 4 MiB', () => {
  const large = Buffer.alloc(4 * MIB + 1);
  const bomb = Buffer.alloc(64 * MIB);
  it.each([
    ['Connect', 'as declared', 'application/proto', large, {}],
    ['Connect', 'as inflated', 'application/proto', gzipSync(bomb), { 'content-encoding': 'gzip' }],
    ['Connect', 'as inflated by brotli', 'application/proto', brotliCompressSync(bomb), { 'content-encoding': 'br' }],
    ['gRPC', 'as declared', 'application/grpc+proto', envelope(large), {}],
    ['gRPC', 'as declared, and never sent', 'application/grpc+proto', envelope(Buffer.alloc(8), 0, 2 ** 32 - 1), {}],
    ['gRPC', 'as inflated', 'application/grpc+proto', envelope(gzipSync(bomb), 1), { 'grpc-encoding': 'gzip' }],
    ['gRPC-Web', 'as declared', 'application/grpc-web+proto', envelope(large), {}],
    ['gRPC-Web', 'as inflated', 'application/grpc-web+proto', envelope(gzipSync(bomb), 1), { 'grpc-encoding': 'gzip' }],
  ])('over %s, %s, is RESOURCE_EXHAUSTED', async (_, _how, contentType, body, headers) => {
    expect(await send(LIST, contentType, body, headers)).toMatchObject({
      code: 'resource_exhausted',
      reason: 'MESSAGE_TOO_LARGE',
      retryDelayMs: undefined,
    });
  });

  it('is RESOURCE_EXHAUSTED also where it comes in chunks without a length', async () => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: controller => {
        sent += MIB;
        if (sent > 8 * MIB) controller.close();
        else controller.enqueue(new Uint8Array(MIB));
      },
    });
    expect(await send(LIST, 'application/proto', body)).toMatchObject({ reason: 'MESSAGE_TOO_LARGE' });
  });
});

describe('a GET', () => {
  it.each([
    'encoding=proto&base64=1&message=_w',
    'encoding=proto&base64=1&message=%21%21',
    'encoding=json&message=%7B',
    'encoding=json&message=%ff',
    'encoding=json&message=',
    'encoding=json&base64=1&compression=gzip&message=AAAA',
    'encoding=xml&message=%7B%7D',
    'message=%7B%7D',
    'encoding=json',
    '',
  ])('with the query %j is refused, with a reason', async query => {
    const response = await fetch(`${service.url}/${LIST}?connect=v1&${query}`);
    expect([400, 415]).toContain(response.status);
    const error = errorFromJson((await response.json()) as never, undefined, new ConnectError('no JSON'));
    expect(await failureOf(Promise.reject(error))).toMatchObject({ code: 'invalid_argument' });
  });
});
