import { gzipSync } from 'node:zlib';
import { ConnectError } from '@connectrpc/connect';
import { errorFromJson } from '@connectrpc/connect/protocol-connect';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openPublicPort, type PublicPort, type PublicPortOptions } from '#test/support/public-port.ts';
import { envelope, sendRawRpc } from '#test/support/raw-rpc.ts';
import { failureOf } from '#test/support/rpc-failure.ts';

const SERVICE = 'blog.v1.PostService';
let seen: object[];
const posts: PublicPortOptions['posts'] = {
  listPosts: async request => see(request),
  createPost: async request => see(request),
  async *watchPosts(request) {
    yield see(request);
  },
};

function see(request: object) {
  seen.push(request);
  return {};
}

beforeEach(() => {
  seen = [];
});

describe.each([
  ['with the fast path', true],
  ['without it', false],
])('A request, %s', (_, fastPath) => {
  let port: PublicPort;
  beforeAll(async () => {
    port = await openPublicPort({ posts, fastPath, reflected: true });
  });
  afterAll(() => port[Symbol.asyncDispose]());

  /** What the message is refused with; undefined: it came to the handler. */
  async function send(form: Form, rpc: string, message: Buffer) {
    const url = `${port.url}/${rpc.includes('/') ? rpc : `${SERVICE}/${rpc}`}`;
    const { error } = await form(url, message);
    return error && (await failureOf(Promise.reject(error)));
  }

  describe.each(JSON_FORMS)('in JSON, by %s', (_name, rpc, form) => {
    it('is refused where its bytes are no UTF-8', async () => {
      const latin1 = Buffer.from('{"author":"caf\xe9"}', 'latin1');
      expect(await send(form, rpc, latin1)).toMatchObject({ code: 'invalid_argument' });
      expect(seen).toEqual([]);
    });

    it('is refused where a number is none of JSON, and the field is named', async () => {
      const field = rpc === 'ListPosts' ? 'page_size' : 'author';
      const json = rpc === 'ListPosts' ? '{"pageSize":"0x1"}' : '{"author":5}';
      expect(await send(form, rpc, Buffer.from(json))).toMatchObject({
        code: 'invalid_argument',
        reason: 'MALFORMED_REQUEST',
        fields: [field],
      });
      expect(seen).toEqual([]);
    });

    it('comes to the handler where it is right', async () => {
      expect(await send(form, rpc, Buffer.from('{"author":"caf\u00e9","newer":1}'))).toBeUndefined();
      expect(seen).toMatchObject([{ author: 'caf\u00e9' }]);
    });
  });

  describe.each(BINARY_FORMS)('in binary, by %s', (_name, rpc, form) => {
    // Field 6 of ListPostsRequest, field 2 of WatchPostsRequest.
    const author = (wireType: number, ...value: number[]) => [
      ((rpc === 'ListPosts' ? 6 : 2) << 3) | wireType,
      ...value,
    ];

    it('has a known field of another wire type for an unknown field', async () => {
      const message = Buffer.from([...author(2, 1, 0x61), ...author(0, 2), ...author(1, 1, 2, 3, 4, 5, 6, 7, 8)]);
      expect(await send(form, rpc, message)).toBeUndefined();
      expect(seen).toMatchObject([{ author: 'a' }]);
    });

    it('is refused where a text is no UTF-8, and the field is named', async () => {
      expect(await send(form, rpc, Buffer.from(author(2, 1, 0xe9)))).toMatchObject({
        code: 'invalid_argument',
        reason: 'MALFORMED_REQUEST',
        fields: ['author'],
      });
      expect(seen).toEqual([]);
    });
  });

  it.each([
    ['2026-02-30T00:00:00Z'],
    ['2026-01-01T24:00:00Z'],
    ['2026-12-31T23:59:60Z'],
    ['2026-01-01t00:00:00z'],
    ['2026-01-01T00:00:00+24:00'],
    ['0001-01-01T00:00:00+00:01'],
    ['9999-12-31T23:59:59-00:01'],
    ['2026-01-01T00:00:00.1234567890Z'],
  ])('is refused with a time that does not exist: %s', async publishTime => {
    const json = Buffer.from(JSON.stringify({ post: { title: 'x', publishTime } }));
    expect(await send(unary('application/json'), 'CreatePost', json)).toMatchObject({
      code: 'invalid_argument',
      reason: 'MALFORMED_REQUEST',
      fields: ['post.publish_time'],
    });
  });

  it.each([
    ['a byte of a message in JSON', 'encoding=json&message=%7B%22tag%22%3A%22caf%E9%22%7D'],
    ['half of a character', 'encoding=json&message=%7B%22tag%22%3A%22%c3%22%7D'],
    [
      'a byte within base64',
      `encoding=json&base64=1&message=${Buffer.from('{"tag":"\xe9"}', 'latin1').toString('base64url')}`,
    ],
    ['a byte in binary', `encoding=proto&base64=1&message=${Buffer.from([0x3a, 1, 0xe9]).toString('base64url')}`],
    ['a number that is none of JSON', 'encoding=json&message=%7B%22pageSize%22%3A%220x1%22%7D'],
    [
      'what is compressed',
      `encoding=json&base64=1&compression=gzip&message=${gzipSync('{"pageSize":"0x1"}').toString('base64url')}`,
    ],
  ])('by GET is refused for %s', async (_what, query) => {
    const response = await fetch(`${port.url}/${SERVICE}/ListPosts?connect=v1&${query}`);
    expect(response.status).toBe(400);
    const error = errorFromJson((await response.json()) as never, undefined, new ConnectError('no JSON'));
    expect(await failureOf(Promise.reject(error))).toMatchObject({
      code: 'invalid_argument',
      reason: 'MALFORMED_REQUEST',
    });
    expect(seen).toEqual([]);
  });

  it.each([
    ['health', 'grpc.health.v1.Health/Watch'],
    ['reflection', 'grpc.reflection.v1.ServerReflection/ServerReflectionInfo'],
  ])('of a stream of %s is refused where a text is no UTF-8', async (_what, rpc) => {
    const message = Buffer.from([0x0a, 1, 0xe9]);
    expect(await send(enveloped('application/grpc+proto'), rpc, message)).toMatchObject({
      code: 'invalid_argument',
      reason: 'MALFORMED_REQUEST',
    });
  });
});

type Form = (url: string, message: Buffer) => ReturnType<typeof sendRawRpc>;

function unary(type: string, gzip = false): Form {
  const headers: Record<string, string> = gzip ? { 'content-encoding': 'gzip' } : {};
  return (url, message) => sendRawRpc(url, type, gzip ? gzipSync(message) : message, headers);
}

function enveloped(type: string, gzip = false): Form {
  const name = type.startsWith('application/connect') ? 'connect-content-encoding' : 'grpc-encoding';
  const headers: Record<string, string> = gzip ? { [name]: 'gzip' } : {};
  return (url, message) => sendRawRpc(url, type, gzip ? envelope(gzipSync(message), 1) : envelope(message), headers);
}

function forms(format: 'json' | 'proto'): readonly (readonly [name: string, rpc: string, form: Form])[] {
  return [false, true].flatMap(gzip => {
    const name = (what: string) => (gzip ? `${what}, gzip` : what);
    return [
      [name('Connect'), 'ListPosts', unary(`application/${format}`, gzip)],
      [name('gRPC'), 'ListPosts', enveloped(`application/grpc+${format}`, gzip)],
      [name('gRPC-Web'), 'ListPosts', enveloped(`application/grpc-web+${format}`, gzip)],
      [name('a stream of Connect'), 'WatchPosts', enveloped(`application/connect+${format}`, gzip)],
      [name('a stream of gRPC'), 'WatchPosts', enveloped(`application/grpc+${format}`, gzip)],
      [name('a stream of gRPC-Web'), 'WatchPosts', enveloped(`application/grpc-web+${format}`, gzip)],
    ] as const;
  });
}

const JSON_FORMS = forms('json');
const BINARY_FORMS = forms('proto');
