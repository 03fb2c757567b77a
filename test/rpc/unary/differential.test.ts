import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GetPostRequestSchema } from '#gen/blog/v1/post_service_pb.js';
import { PostNotFoundError } from '#src/posts/post-store.ts';
import { openPublicPort, type PublicPort, type PublicPortOptions } from '#test/support/public-port.ts';

const PATH = '/blog.v1.PostService/GetPost';

/**
 * How the fast path is meant to differ from connect-node, with the reason. These are all, so each is taken out of both answers
 * before they are compared, and nothing else is.
 */
const WANTED_DIFFERENCES: readonly { readonly reason: string; readonly takeOut: (answer: Answer) => void }[] = [
  {
    reason: 'answers to GET tell caches how to keep them; connect-node says nothing',
    takeOut: ({ headers }) => remove(headers, 'etag', 'vary', 'cache-control'),
  },
  {
    reason:
      'an answer is compressed only where that makes it smaller, and an error never: the content is compared inflated',
    takeOut: ({ headers }) => remove(headers, 'content-encoding', 'content-length', 'grpc-encoding'),
  },
  {
    reason: 'a request that is cut short, or too large, is refused in words of our own',
    takeOut: answer => {
      if (!/incomplete|promised|larger than|readMaxBytes/.test(JSON.stringify(answer))) return;
      answer.body = (answer.body as { code?: string } | undefined)?.code;
      remove(answer.headers, 'content-length');
      remove(answer.trailers, 'grpc-message', 'grpc-status-details-bin');
    },
  },
  {
    reason: 'a connection is HTTP’s own business',
    takeOut: ({ headers }) => remove(headers, 'date', 'connection', 'keep-alive', 'transfer-encoding', 'trailer'),
  },
];

const posts: PublicPortOptions['posts'] = {
  getPost: async ({ key }, context) => {
    if (key.value === 'absent') throw new PostNotFoundError(['absent']);
    if (key.value === 'fault') throw new Error('a fault of ours');
    if (key.value === 'connect error') throw new ConnectError('said no', Code.PermissionDenied);
    if (key.value === 'metadata') {
      context.responseHeader.set('x-lead-bin', 'AAEC');
      context.responseTrailer.append('x-trail', 'one');
      context.responseTrailer.append('x-trail', 'two');
    }
    return { post: { slug: key.value ?? '', content: key.value === 'large' ? 'long '.repeat(5_000) : '' } };
  },
};

let fast: PublicPort;
let slow: PublicPort;

beforeAll(async () => {
  fast = await openPublicPort({ posts, requestMaxBytes: 16_384 });
  slow = await openPublicPort({ posts, requestMaxBytes: 16_384, fastPath: false });
});
afterAll(() => Promise.all([fast, slow].map(port => port[Symbol.asyncDispose]())));

describe('The fast path and connect-node', () => {
  it('answer Connect calls alike', async () => {
    await fc.assert(
      fc.asyncProperty(connectRequest(), async request => {
        const [ours, theirs] = await Promise.all([ask(fast, request), ask(slow, request)]);
        expect(ours).toEqual(theirs);
      }),
      { numRuns: RUNS },
    );
  });

  it('answer gRPC calls alike', async () => {
    await fc.assert(
      fc.asyncProperty(grpcRequest(), async request => {
        const [ours, theirs] = await Promise.all([ask(fast, request), ask(slow, request)]);
        expect(ours).toEqual(theirs);
      }),
      { numRuns: RUNS },
    );
  });
});

// biome-ignore lint/style/noProcessEnv: how long to look is said by who looks.
const RUNS = Number(process.env.DIFFERENTIAL_RUNS ?? 250);

function message(): fc.Arbitrary<{ readonly json: boolean; readonly bytes: Buffer }> {
  const slug = fc.constantFrom('x', 'absent', 'fault', 'connect error', 'metadata', 'large', 'ü', '');
  const json = fc.oneof(
    { weight: 4, arbitrary: slug.map(value => JSON.stringify({ slug: value })) },
    fc.constantFrom('', '{', 'null', '[]', '{"slug":5}', '{"unknown":1}', '{"slug":"a","slug":"b"}', ' {"id":"x"} '),
    fc.json(),
  );
  const binary = fc.oneof(
    {
      weight: 4,
      arbitrary: slug.map(value =>
        Buffer.from(toBinary(GetPostRequestSchema, create(GetPostRequestSchema, { key: { case: 'slug', value } }))),
      ),
    },
    fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes)),
    fc.constantFrom(Buffer.alloc(20_000, 'a')),
  );
  return fc.oneof(
    json.map(text => ({ json: true, bytes: Buffer.from(text) })),
    binary.map(bytes => ({ json: false, bytes })),
  );
}

const encoding = fc.constantFrom('none', 'none', 'identity', 'gzip', 'br', 'lie', 'unknown');

function encode(bytes: Buffer, how: string): Buffer {
  if (how === 'gzip') return gzipSync(bytes);
  return how === 'br' ? brotliCompressSync(bytes) : bytes;
}

function connectRequest(): fc.Arbitrary<Request> {
  return fc
    .record({
      message: message(),
      encoding,
      version: fc.constantFrom(1 as const, 2 as const),
      get: fc.constantFrom(false, false, true),
      base64: fc.boolean(),
      type: fc.constantFrom('right', 'right', 'right', 'charset', 'text/plain', 'application/xml'),
      accept: fc.constantFrom(undefined, 'gzip', 'br', 'identity', 'gzip;q=0, br', 'zstd, gzip'),
      timeout: fc.constantFrom(undefined, '5000', 'abc', '-1', '0', '9999999999'),
      protocol: fc.constantFrom(undefined, '1', '2'),
    })
    .map(({ message: { json, bytes }, encoding: how, version, get, base64, type, accept, timeout, protocol }) => {
      const usual = json ? 'application/json' : 'application/proto';
      const named = how === 'lie' ? 'gzip' : how;
      const common = compact({ 'accept-encoding': accept, 'connect-timeout-ms': timeout });
      if (get) {
        const query = new URLSearchParams({ connect: 'v1', encoding: json ? 'json' : 'proto' });
        if (base64 || !json) query.set('base64', '1');
        query.set('message', base64 || !json ? bytes.subarray(0, 2_000).toString('base64url') : bytes.toString());
        return { version, method: 'GET', path: `${PATH}?${query}`, headers: common, body: Buffer.alloc(0) };
      }
      return {
        version,
        method: 'POST',
        path: PATH,
        headers: compact({
          ...common,
          'content-type': type === 'right' ? usual : type === 'charset' ? `${usual}; charset=utf-8` : type,
          'content-encoding': named === 'none' ? undefined : named,
          'connect-protocol-version': protocol,
        }),
        body: encode(bytes, how),
      };
    });
}

function grpcRequest(): fc.Arbitrary<Request> {
  return fc
    .record({
      message: message(),
      encoding,
      flag: fc.constantFrom('right', 'right', 'wrong'),
      shape: fc.constantFrom('one', 'one', 'one', 'none', 'two', 'short', 'long'),
      accept: fc.constantFrom(undefined, 'gzip', 'identity', 'br,gzip'),
      timeout: fc.constantFrom(undefined, '5S', 'abc', '0S', '99999999H'),
    })
    .map(({ message: { json, bytes }, encoding: how, flag, shape, accept, timeout }) => {
      const named = how === 'lie' ? 'gzip' : how;
      const compressed = ['gzip', 'br', 'lie', 'unknown'].includes(how) === (flag === 'right');
      // Of two faults at once either may be told: a badly framed message has no other.
      const envelope =
        shape === 'one'
          ? Buffer.from(encodeEnvelope(compressed ? 1 : 0, encode(bytes, how)))
          : Buffer.from(encodeEnvelope(0, json ? Buffer.from('{"slug":"x"}') : Buffer.from([0x12, 1, 0x78])));
      const bodies: Record<string, Buffer> = {
        one: envelope,
        none: Buffer.alloc(0),
        two: Buffer.concat([envelope, envelope]),
        short: envelope.subarray(0, -1),
        long: Buffer.concat([envelope, Buffer.of(0)]),
      };
      return {
        version: 2,
        method: 'POST',
        path: PATH,
        headers: compact({
          'content-type': json ? 'application/grpc+json' : 'application/grpc',
          te: 'trailers',
          'grpc-encoding': named === 'none' ? undefined : named,
          'grpc-accept-encoding': accept,
          'grpc-timeout': timeout,
        }),
        body: bodies[shape] as Buffer,
      };
    });
}

async function ask(port: PublicPort, request: Request): Promise<Answer> {
  const answer = request.version === 1 ? await askHttp1(port, request) : await askHttp2(port, request);
  for (const { takeOut } of WANTED_DIFFERENCES) takeOut(answer);
  return answer;
}

async function askHttp1(port: PublicPort, { method, path, headers, body }: Request): Promise<Answer> {
  const request = http.request(`${port.url}${path}`, { method, agent: false });
  for (const [name, value] of Object.entries({ 'x-request-id': 'same', ...headers })) request.setHeader(name, value);
  if (method === 'POST') request.setHeader('content-length', body.length);
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const chunks = await response.toArray();
  return answerOf(response.statusCode, { ...response.headers }, Buffer.concat(chunks), {});
}

async function askHttp2(port: PublicPort, { method, path, headers, body }: Request): Promise<Answer> {
  const session = http2.connect(port.url);
  const fields = { ':method': method, ':path': path, 'x-request-id': 'same', ...headers };
  const stream = session.request(fields, { endStream: method === 'GET' });
  let trailers = {};
  stream.on('trailers', given => {
    trailers = { ...given };
  });
  if (method !== 'GET') stream.end(body);
  const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  const chunks = await stream.toArray();
  session.destroy();
  const { ':status': status, ...rest } = head;
  return answerOf(status as unknown as number, rest, Buffer.concat(chunks), trailers);
}

/** The content is inflated, and read as what it is. */
function answerOf(status: number | undefined, headers: Fields, bytes: Buffer, trailers: Fields): Answer {
  const type = String(headers['content-type']);
  if (type.startsWith('application/grpc')) {
    const inflated = bytes[0] === 1 ? gunzipOrBr(bytes.subarray(5), headers['grpc-encoding']) : bytes.subarray(5);
    return { status, headers, trailers, body: bytes.length === 0 ? undefined : inflated.toString('base64') };
  }
  const inflated = gunzipOrBr(bytes, headers['content-encoding']);
  const body =
    type === 'application/json' && inflated.length > 0 ? JSON.parse(String(inflated)) : inflated.toString('base64');
  return { status, headers, trailers, body };
}

function gunzipOrBr(bytes: Buffer, name: unknown): Buffer {
  if (name === 'gzip') return gunzipSync(bytes);
  return name === 'br' ? brotliDecompressSync(bytes) : bytes;
}

function remove(fields: Fields, ...names: string[]): void {
  for (const name of names) Reflect.deleteProperty(fields, name);
}

function compact(fields: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

type Fields = Record<string, unknown>;

interface Request {
  readonly version: 1 | 2;
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: Fields;
  readonly trailers: Fields;
  body: unknown;
}
