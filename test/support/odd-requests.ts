import { brotliCompressSync, gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import fc from 'fast-check';
import { GetPostRequestSchema } from '#gen/blog/v1/post_service_pb.js';
import type { Fields, RawRequest } from '#test/support/plain-http-client.ts';

/** The path of the RPC that is called. */
export const GET_POST = '/blog.v1.PostService/GetPost';

/** A call of GetPost by Connect, right or wrong in many ways. */
export function connectRequest(): fc.Arbitrary<RawRequest> {
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
      extra: extraFields(),
      odd: fc.tuple(ODD_PARAMETERS, fc.boolean()),
    })
    .map(
      ({
        message: { json, bytes },
        encoding: how,
        version,
        get,
        base64,
        type,
        accept,
        timeout,
        protocol,
        extra,
        odd,
      }) => {
        const usual = json ? 'application/json' : 'application/proto';
        const common = compact({ 'accept-encoding': accept, 'connect-timeout-ms': timeout, ...extra });
        if (get) {
          const query = new URLSearchParams({ connect: 'v1', encoding: json ? 'json' : 'proto' });
          if (base64 || !json) query.set('base64', '1');
          query.set('message', base64 || !json ? bytes.subarray(0, 2_000).toString('base64url') : bytes.toString());
          const [parameters, isFirst] = odd;
          const all = isFirst ? [...parameters, query] : [query, ...parameters];
          return {
            version,
            method: 'GET',
            path: `${GET_POST}?${all.join('&')}`,
            headers: common,
            body: Buffer.alloc(0),
          };
        }
        return {
          version,
          method: 'POST',
          path: GET_POST,
          headers: compact({
            ...common,
            'content-type': type === 'right' ? usual : type === 'charset' ? `${usual}; charset=utf-8` : type,
            'content-encoding': nameOf(how),
            'connect-protocol-version': protocol,
          }),
          body: encode(bytes, how),
        };
      },
    );
}

/** The same by gRPC. */
export function grpcRequest(): fc.Arbitrary<RawRequest> {
  return fc
    .record({
      message: message(),
      encoding,
      flag: fc.constantFrom('right', 'right', 'wrong'),
      shape: fc.constantFrom('one', 'one', 'one', 'none', 'two', 'cut', 'long'),
      cutAt: fc.nat(),
      extra: extraFields(),
      accept: fc.constantFrom(undefined, 'gzip', 'identity', 'br,gzip'),
      timeout: fc.constantFrom(undefined, '5S', 'abc', '0S', '99999999H'),
    })
    .map(({ message: { json, bytes }, encoding: how, flag, shape, cutAt, accept, timeout, extra }) => {
      const compressed = !['none', 'identity'].includes(how) === (flag === 'right');
      // Of two faults at once either may be told: a badly framed message has no other.
      const envelope =
        shape === 'one'
          ? Buffer.from(encodeEnvelope(compressed ? 1 : 0, encode(bytes, how)))
          : Buffer.from(encodeEnvelope(0, json ? Buffer.from('{"slug":"x"}') : Buffer.from([0x12, 1, 0x78])));
      const bodies: Record<string, Buffer> = {
        one: envelope,
        none: Buffer.alloc(0),
        two: Buffer.concat([envelope, envelope]),
        cut: envelope.subarray(0, 1 + (cutAt % (envelope.length - 1))),
        long: Buffer.concat([envelope, Buffer.of(0)]),
      };
      return {
        version: 2,
        method: 'POST',
        path: GET_POST,
        headers: compact({
          'content-type': json ? 'application/grpc+json' : 'application/grpc',
          te: 'trailers',
          'grpc-encoding': nameOf(how),
          'grpc-accept-encoding': accept,
          'grpc-timeout': timeout,
          ...extra,
        }),
        body: bodies[shape] as Buffer,
      };
    });
}

function message(): fc.Arbitrary<{ readonly json: boolean; readonly bytes: Buffer }> {
  const slug = fc.constantFrom('x', 'absent', 'fault', 'connect error', 'metadata', 'large', 'ü', '');
  const json = fc.oneof(
    { weight: 4, arbitrary: slug.map(value => JSON.stringify({ slug: value })) },
    fc.constantFrom('', '{', 'null', '[]', '{"slug":5}', '{"unknown":1}', '{"slug":"a","slug":"b"}', ' {"id":"x"} '),
    fc.constantFrom(
      '{"id":"x","slug":"y"}',
      '{"id":null,"slug":"x"}',
      '{"slug":"\\ud83d"}',
      '\ufeff{}',
      '{"a":1,"a":2}',
    ),
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
    // `slug` as a varint, in front of itself and behind; as text that is no UTF-8; with a tag of six bytes; an end without a group.
    fc.constantFrom(
      ...['1002120178', '1201781005', '1201e9', '9280808080000178', '14', '1203'].map(hex => Buffer.from(hex, 'hex')),
    ),
  );
  return fc.oneof(
    json.map(text => ({ json: true, bytes: Buffer.from(text) })),
    { weight: 1, arbitrary: fc.constant({ json: true, bytes: Buffer.from('{"slug":"\xe9"}', 'latin1') }) },
    binary.map(bytes => ({ json: false, bytes })),
  );
}

const encoding = fc.constantFrom('none', 'none', 'identity', 'gzip', 'br', 'lie', 'unknown', 'gzip bomb', 'br bomb');

const BOMBS: Readonly<Record<string, Buffer>> = {
  'gzip bomb': gzipSync(Buffer.alloc(5_000_000)),
  'br bomb': brotliCompressSync(Buffer.alloc(5_000_000)),
};

/** Fields that say nothing of the message; a list is a repeated field. */
function extraFields(): fc.Arbitrary<Fields> {
  const twice = (...values: string[]) => fc.subarray(values).map(some => (some.length === 0 ? undefined : some));
  return fc
    .record({
      'x-ask': twice('a', 'b'),
      'x-ask-bin': twice('AAEC', 'AwQF'),
      cookie: twice('a=1', 'b=2'),
      authorization: twice('Bearer a', 'Bearer b'),
      'user-agent': twice('one', 'two'),
      'accept-encoding': twice('zstd', 'br'),
      origin: twice('https://blog.example'),
    })
    .chain(all => fc.subarray(Object.entries(all), { maxLength: 3 }).map(some => Object.fromEntries(some)));
}

/** Parts of a query that are not as clients send them. */
const ODD_PARAMETERS = fc.subarray(
  [
    'connect=v2',
    'encoding=json',
    'encoding=xml',
    'message=%7B%22slug%22:%22absent%22%7D',
    'message=a+b',
    'message=%zz',
    'message=%ff',
    'message=#x',
    'base64=1',
    'base64=0',
    'compression=identity',
    'compression=gzip',
    'compression=none',
    'x',
    '=',
    '%6dessage=a',
    '&',
  ],
  { maxLength: 3 },
);

function encode(bytes: Buffer, how: string): Buffer {
  if (how === 'gzip') return gzipSync(bytes);
  return how === 'br' ? brotliCompressSync(bytes) : (BOMBS[how] ?? bytes);
}

/** What the request says that it is in. */
function nameOf(how: string): string | undefined {
  if (how === 'none') return undefined;
  return how === 'lie' ? 'gzip' : how.replace(' bomb', '');
}

function compact(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
