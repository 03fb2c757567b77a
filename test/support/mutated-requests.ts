import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { create, type DescMessage, type Message, toBinary, toJsonString } from '@bufbuild/protobuf';
import {
  BatchGetPostsRequestSchema,
  CreatePostRequestSchema,
  GetPostRequestSchema,
  ListPostsRequestSchema,
  UpdatePostRequestSchema,
} from '#gen/blog/v1/post_service_pb.js';
import { envelope } from '#test/support/raw-rpc.ts';

/** A request that was good before some of its bytes were changed. */
export interface MutatedRequest {
  readonly httpVersion: '1.1' | '2';
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Requests of every protocol and encoding, mutated; the same ones for the same seed. */
export function* mutatedRequests(seed: number, count: number): Generator<MutatedRequest> {
  const random = mulberry32(seed);
  const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T;
  for (let i = 0; i < count; i++) {
    const [path, schema, message] = pick(SAMPLES);
    const form = pick(FORMS);
    const json = form.type.endsWith('json');
    const plain = json ? Buffer.from(toJsonString(schema, message)) : Buffer.from(toBinary(schema, message));
    const encoding = pick(ENCODINGS);
    // Half of what is compressed is well compressed, so that the mutation gets as far as the message.
    const early = random() < 0.5;
    let bytes = early ? mutate(plain, random, json) : plain;
    if (encoding === 'gzip') bytes = gzipSync(bytes);
    if (encoding === 'br')
      bytes = brotliCompressSync(bytes, {
        params: { [constants.BROTLI_PARAM_QUALITY]: 1, [constants.BROTLI_PARAM_LGWIN]: 16 },
      });
    if (form.enveloped) {
      bytes = envelope(bytes, encoding === 'identity' ? 0 : 1);
      if (random() < 0.1) bytes = Buffer.concat([bytes, bytes]);
    }
    if (!early) bytes = mutate(bytes, random, json && encoding === 'identity');
    // gRPC asks for INTERNAL where a message is marked as compressed, and no compression is named.
    if (form.enveloped && encoding === 'identity') bytes = withoutCompressedFlags(bytes);
    const headers: Record<string, string> = { 'content-type': form.type, ...form.headers };
    headers[form.encodingHeader] = encoding;
    if (form.type.startsWith('GET')) {
      const query = `encoding=${json ? 'json' : 'proto'}&base64=1&compression=${encoding}&connect=v1`;
      const get = { httpVersion: '1.1', method: 'GET', headers: {}, body: Buffer.alloc(0) } as const;
      yield { ...get, path: `${path}?${query}&message=${bytes.toString('base64url')}` };
      continue;
    }
    yield { httpVersion: form.httpVersion, method: 'POST', path: form.path ?? path, headers, body: bytes };
  }
}

const SERVICE = '/blog.v1.PostService';
const ID = '0199c2a8-5f1e-7abc-8def-0123456789ab';
const post = {
  id: ID,
  title: 'Title <b>',
  slug: 'a-slug',
  content: '# Text\n',
  author: 'Ada',
  tags: ['a', 'b'],
  etag: 'x',
};
const SAMPLES: readonly (readonly [string, DescMessage, Message])[] = [
  sample('GetPost', GetPostRequestSchema, { key: { case: 'slug', value: 'a-slug' } }),
  sample('ListPosts', ListPostsRequestSchema, { pageSize: 3, orderBy: 'update_time desc', author: 'Ada', tag: 'a' }),
  sample('BatchGetPosts', BatchGetPostsRequestSchema, { ids: [ID, ID.replace('0', '1')] }),
  sample('CreatePost', CreatePostRequestSchema, { post: { ...post, id: '' }, requestId: ID, validateOnly: true }),
  sample('UpdatePost', UpdatePostRequestSchema, { post, updateMask: { paths: ['title', 'tags'] } }),
];
const WATCH = '/grpc.health.v1.Health/Watch';
const brief = { 'connect-protocol-version': '1', 'connect-timeout-ms': '20' };
const FORMS: readonly Form[] = [
  unary('application/proto', '1.1'),
  unary('application/json', '1.1'),
  unary('application/proto', '2'),
  unary('GET proto', '1.1'),
  unary('GET json', '1.1'),
  enveloped('application/grpc', '2', 'grpc-encoding', { te: 'trailers' }),
  enveloped('application/grpc+json', '2', 'grpc-encoding', { te: 'trailers' }),
  enveloped('application/grpc-web+proto', '1.1', 'grpc-encoding', {}),
  enveloped('application/grpc-web+json', '1.1', 'grpc-encoding', {}),
  { ...enveloped('application/connect+proto', '1.1', 'connect-content-encoding', brief), path: WATCH },
  { ...enveloped('application/connect+json', '1.1', 'connect-content-encoding', brief), path: WATCH },
];
const ENCODINGS = ['identity', 'identity', 'gzip', 'br'] as const;
const JSON_PIECES = ['"', '{', '}', '[', ']', ':', ',', 'null', '1e999', '-0', '\\u0000', '\\ud800', '"__proto__":{}'];

/** One to four changes: flipped bits, bytes that parsers stumble over, pieces cut out, doubled or put in. */
function mutate(bytes: Buffer, random: () => number, json: boolean): Buffer {
  let mutated = bytes;
  const below = (end: number) => Math.floor(random() * end);
  for (let change = below(4); change >= 0; change--) {
    const at = below(mutated.length + 1);
    const end = Math.min(mutated.length, at + 1 + below(8));
    const [before, after] = [mutated.subarray(0, at), mutated.subarray(at)];
    const kind = below(6);
    const piece = json
      ? Buffer.from(JSON_PIECES[below(JSON_PIECES.length)] ?? '')
      : Buffer.from([[0xff, 0xff, 0xff, 0xff, 0xff, 0x01], [0x00], [0x80], [0x0b], [0x0c]][below(5)] ?? []);
    if (kind === 0) mutated = Buffer.concat([before, piece, after]);
    else if (kind === 1) mutated = Buffer.concat([before, mutated.subarray(end)]);
    else if (kind === 2) mutated = Buffer.concat([before, mutated.subarray(at, end), after]);
    else if (kind === 3) mutated = before;
    else if (at < mutated.length) {
      mutated = Buffer.from(mutated);
      mutated[at] = kind === 4 ? below(256) : (mutated[at] ?? 0) ^ (1 << below(8));
    }
  }
  return mutated;
}

/** In every envelope that a reader would find. */
function withoutCompressedFlags(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = 0; at < copy.length; at += 5 + (at + 5 <= copy.length ? copy.readUInt32BE(at + 1) : 0)) {
    copy[at] = (copy[at] ?? 0) & ~1;
  }
  return copy;
}

function sample<T extends DescMessage>(rpc: string, schema: T, init: Parameters<typeof create<T>>[1]) {
  return [`${SERVICE}/${rpc}`, schema, create(schema, init)] as const;
}

function unary(type: string, httpVersion: Form['httpVersion']): Form {
  return { type, httpVersion, enveloped: false, encodingHeader: 'content-encoding', headers: {}, path: undefined };
}

function enveloped(
  type: string,
  httpVersion: Form['httpVersion'],
  encodingHeader: string,
  headers: Form['headers'],
): Form {
  return { type, httpVersion, enveloped: true, encodingHeader, headers, path: undefined };
}

/** A small generator with a seed, so that a failure can be repeated. */
function mulberry32(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Form {
  readonly type: string;
  readonly httpVersion: MutatedRequest['httpVersion'];
  readonly enveloped: boolean;
  readonly encodingHeader: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Unset: the path of the sample. */
  readonly path: string | undefined;
}
