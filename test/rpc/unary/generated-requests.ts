import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { create, type DescMessage, type Message, toBinary, toJsonString } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { CreatePostRequestSchema, GetPostRequestSchema } from '#gen/blog/v1/post_service_pb.js';
import { ANSWERS } from '#test/rpc/unary/answering-handlers.ts';
import type { SentRequest } from '#test/support/exchange-sender.ts';
import { envelope } from '#test/support/raw-rpc.ts';

/** A request, and what matters of how it was made. */
export interface GeneratedRequest extends SentRequest {
  readonly protocol: 'connect' | 'grpc';
  /** What the handler does, if it comes to that. */
  readonly answer: string;
}

/** The most bytes of a message that the generated requests reckon with. */
export const READ_MAX_BYTES = 20_000;

/** Requests of clients good and bad: most have one or two things that are odd. */
export function generatedRequests(): fc.Arbitrary<GeneratedRequest> {
  return fc.oneof({ arbitrary: post(), weight: 3 }, { arbitrary: get(), weight: 2 }, { arbitrary: grpc(), weight: 3 });
}

const answers = fc.constantFrom(...Object.keys(ANSWERS));
const httpVersion = fc.constantFrom('1.1' as const, '2' as const);

/** Mostly the first; sometimes one of the others. */
function usually<T>(usual: T, ...odd: T[]): fc.Arbitrary<T> {
  return fc.oneof({ arbitrary: fc.constant(usual), weight: 9 }, { arbitrary: fc.constantFrom(...odd), weight: 2 });
}

function post(): fc.Arbitrary<GeneratedRequest> {
  const type = fc.oneof(
    { arbitrary: fc.constantFrom('application/proto', 'application/json'), weight: 8 },
    { arbitrary: fc.constantFrom(...ODD_TYPES), weight: 2 },
  );
  return fc
    .record({
      httpVersion,
      answer: answers,
      safe: fc.boolean(),
      type,
      damage: damages,
      coding: usually('', 'gzip', 'br', 'identity', 'GZIP', 'deflate', 'gzip, br', 'zstd', '', 'x'),
      packing: packings,
      version: usually('1', undefined, '2', '', '1, 1'),
      timeout: timeouts(['60000', '1', '+1', '1.5', '0', '-1', 'abc', '99999999999', '9999999999', ' 5000', '']),
      accept: acceptEncodings,
      query: usually('', '?', '?message=x', '?encoding=json&message={}'),
      extra: extraFields,
      method: usually('POST', 'OPTIONS', 'PUT', 'HEAD'),
    })
    .map(({ type, coding, version, timeout, accept, extra, packing, ...made }) => {
      const { path, bytes } = requestMessage(made.safe, made.answer, !/json/i.test(type), made.damage);
      const body = made.method === 'POST' ? pack(bytes, packing === 'as told' ? coding : packing) : Buffer.alloc(0);
      const answer = made.answer;
      const fields: [string, string][] = [['content-type', type]];
      if (coding !== '') fields.push(['content-encoding', coding]);
      if (version !== undefined) fields.push(['connect-protocol-version', version]);
      push(fields, 'connect-timeout-ms', timeoutOf(answer, timeout));
      push(fields, 'accept-encoding', accept);
      return request({ ...made, path: path + made.query, fields: [...fields, ...extra], body, protocol: 'connect' });
    });
}

function get(): fc.Arbitrary<GeneratedRequest> {
  return fc
    .record({
      httpVersion,
      answer: answers,
      safe: usually(true, false),
      method: usually('GET', 'HEAD'),
      json: fc.boolean(),
      base64: usually('1', undefined, '0', 'true', ''),
      escaping: fc.constantFrom('component', 'plus', 'none', 'all', 'broken'),
      alphabet: fc.constantFrom('base64url', 'base64', 'padded'),
      encoding: usually(undefined, 'xml', '', 'PROTO', 'missing'),
      connect: usually('v1', undefined, 'v2', ''),
      compression: usually(undefined, 'gzip', 'identity', 'br', '', 'zstd'),
      unknown: usually('', 'a=b', 'a', 'a=%zz', '%61=b', '%6dessage=x', '', 'encoding=json', 'message=', 'base64=0'),
      order: fc.constantFrom(0, 1, 2, 3),
      damage: damages,
      timeout: timeouts(['60000', '0', 'abc', '-1']),
      version: usually(undefined, '1', '2'),
      accept: acceptEncodings,
      extra: extraFields,
    })
    .map(made => {
      const { path, bytes } = requestMessage(made.safe, made.answer, !made.json, made.damage);
      const packed = made.compression === undefined ? bytes : pack(bytes, made.compression);
      const parameters: string[] = [];
      if (made.connect !== undefined) parameters.push(`connect=${made.connect}`);
      if (made.encoding !== 'missing') parameters.push(`encoding=${made.encoding ?? (made.json ? 'json' : 'proto')}`);
      if (made.base64 !== undefined) parameters.push(`base64=${made.base64}`);
      if (made.compression !== undefined) parameters.push(`compression=${made.compression}`);
      const text = made.base64 === '1' ? base64(packed, made.alphabet) : packed.toString('latin1');
      parameters.push(`message=${escape(text, made.escaping)}`);
      if (made.unknown !== '') parameters.splice(made.order, 0, made.unknown);
      for (let i = 0; i < made.order; i++) parameters.push(parameters.shift() ?? '');
      const fields: [string, string][] = [];
      push(fields, 'connect-protocol-version', made.version);
      push(fields, 'connect-timeout-ms', timeoutOf(made.answer, made.timeout));
      push(fields, 'accept-encoding', made.accept);
      const target = `${path}?${parameters.join('&')}`;
      return request({
        ...made,
        path: target,
        fields: [...fields, ...made.extra],
        body: Buffer.alloc(0),
        protocol: 'connect',
      });
    });
}

function grpc(): fc.Arbitrary<GeneratedRequest> {
  return fc
    .record({
      httpVersion: usually('2' as const, '1.1' as const),
      answer: answers,
      safe: fc.boolean(),
      type: usually('application/grpc', 'application/grpc+proto', 'application/grpc+json', ...ODD_GRPC_TYPES),
      damage: damages,
      coding: usually(undefined, 'gzip', 'br', 'identity', 'GZIP', 'zstd', ''),
      packing: packings,
      flags: usually(undefined, 0, 1, 2, 3, 128),
      framing: usually('whole', 'long', 'short', 'huge', 'two', 'none', 'prefix cut', 'too much'),
      timeout: timeouts(['60S', '0S', '0n', 'abc', '1', '123456789S', '99999999H', '-1S', '1.5S', '60s', '']),
      accept: usually(
        undefined,
        'gzip',
        'identity',
        'br',
        'gzip,br',
        'br, gzip',
        'zstd',
        'gzip;q=0',
        'identity,deflate,gzip',
      ),
      te: usually('trailers', undefined),
      extra: extraFields,
    })
    .map(({ type, coding, timeout, accept, extra, packing, te, ...made }) => {
      const { path, bytes } = requestMessage(made.safe, made.answer, !/json/.test(type), made.damage);
      const packed = pack(bytes, packing === 'as told' ? (coding ?? '') : packing);
      const flags = made.flags ?? (packed === bytes ? 0 : 1);
      const fields: [string, string][] = [['content-type', type]];
      push(fields, 'te', made.httpVersion === '2' ? te : undefined);
      push(fields, 'grpc-encoding', coding);
      push(fields, 'grpc-timeout', timeoutOf(made.answer, timeout, 'm'));
      push(fields, 'grpc-accept-encoding', accept);
      const body = frame(packed, flags, made.framing);
      return request({ ...made, method: 'POST', path, fields: [...fields, ...extra], body, protocol: 'grpc' });
    });
}

function request(made: GeneratedRequest): GeneratedRequest {
  const { httpVersion, method, path, fields, body, protocol, answer } = made;
  return { httpVersion, method, path, fields, body, protocol, answer };
}

/** The bytes of a request for an answer, and where it goes. */
function requestMessage(safe: boolean, answer: string, binary: boolean, damage: Damage) {
  const bytes = safe
    ? encode(GetPostRequestSchema, create(GetPostRequestSchema, { key: { case: 'slug', value: answer } }), binary)
    : encode(CreatePostRequestSchema, create(CreatePostRequestSchema, { post: { slug: answer } }), binary);
  return { path: `/blog.v1.PostService/${safe ? 'GetPost' : 'CreatePost'}`, bytes: damaged(bytes, damage) };
}

function encode(schema: DescMessage, message: Message, binary: boolean): Buffer {
  return Buffer.from(binary ? toBinary(schema, message) : toJsonString(schema, message));
}

type Damage = 'none' | 'empty' | 'cut' | 'garbage' | 'unknown field' | 'no UTF-8' | 'mark' | 'limit' | 'too large';
const damages = usually<Damage>(
  'none',
  'empty',
  'cut',
  'garbage',
  'unknown field',
  'no UTF-8',
  'mark',
  'limit',
  'too large',
);

function damaged(bytes: Buffer, damage: Damage): Buffer {
  if (damage === 'empty') return Buffer.alloc(0);
  if (damage === 'cut') return bytes.subarray(0, -1);
  if (damage === 'garbage') return Buffer.from('ff00fe7b0a', 'hex');
  if (damage === 'unknown field') return Buffer.concat([Buffer.from('f87f01', 'hex'), bytes]);
  // Field 2, the slug, with bytes that are no UTF-8; and the same in JSON.
  if (damage === 'no UTF-8')
    return bytes[0] === 0x7b ? Buffer.from('{"slug":"\xff"}', 'latin1') : Buffer.from('1202c328', 'hex');
  if (damage === 'mark') return Buffer.concat([Buffer.from('\ufeff'), bytes]);
  if (damage === 'limit') return Buffer.concat([bytes, Buffer.alloc(READ_MAX_BYTES - bytes.length, ' ')]);
  if (damage === 'too large') return Buffer.concat([bytes, Buffer.alloc(READ_MAX_BYTES - bytes.length + 1, ' ')]);
  return bytes;
}

/** What is done to the bytes, which may be other than what the header tells. */
const packings = usually('as told', '', 'gzip', 'br', 'cut gzip', 'bomb', 'br bomb', 'gzip twice');

function pack(bytes: Buffer, packing: string): Buffer {
  if (packing === 'gzip' || packing === 'GZIP') return gzipSync(bytes);
  if (packing === 'br') return brotliCompressSync(bytes);
  if (packing === 'deflate') return deflateSync(bytes);
  if (packing === 'gzip, br') return brotliCompressSync(gzipSync(bytes));
  if (packing === 'cut gzip') return gzipSync(bytes).subarray(0, -8);
  if (packing === 'gzip twice') return Buffer.concat([gzipSync(bytes), gzipSync(bytes)]);
  if (packing === 'bomb') return BOMB;
  if (packing === 'br bomb') return BR_BOMB;
  return bytes;
}

const BOMB = gzipSync(Buffer.alloc(8 * 1024 * 1024));
const BR_BOMB = brotliCompressSync(Buffer.alloc(8 * 1024 * 1024));

function frame(message: Buffer, flags: number, framing: string): Buffer {
  const whole = envelope(message, flags);
  if (framing === 'long') return envelope(message, flags, message.length + 3);
  if (framing === 'short') return envelope(message, flags, Math.max(0, message.length - 1));
  if (framing === 'huge') return envelope(message, flags, 2 ** 32 - 1);
  if (framing === 'two') return Buffer.concat([whole, whole]);
  if (framing === 'none') return Buffer.alloc(0);
  if (framing === 'prefix cut') return whole.subarray(0, 3);
  if (framing === 'too much') return Buffer.concat([whole, Buffer.from([0, 0])]);
  return whole;
}

function base64(bytes: Buffer, alphabet: string): string {
  if (alphabet === 'base64url') return bytes.toString('base64url');
  const text = bytes.toString('base64');
  return alphabet === 'padded' ? text.replaceAll('+', '-').replaceAll('/', '_') : text.replaceAll('=', '');
}

function escape(text: string, escaping: string): string {
  if (escaping === 'plus') return encodeURIComponent(text).replaceAll('%20', '+');
  if (escaping === 'all') return [...text].map(c => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join('');
  if (escaping === 'broken') return `${encodeURIComponent(text)}%f`;
  // Not all that is in a message can be in a URL, escaped or not.
  if (escaping === 'none' && /^[!-"$-~]*$/.test(text)) return text.replaceAll('&', '%26');
  return encodeURIComponent(text);
}

function timeouts(odd: string[]): fc.Arbitrary<string | undefined> {
  return usually<string | undefined>(undefined, ...odd);
}

/** A deadline that may pass goes only with a handler that never answers, and that one always has one that does. */
function timeoutOf(answer: string, timeout: string | undefined, unit = ''): string | undefined {
  if (answer === 'never' && (timeout === undefined || /^ ?\+?[1-9]/.test(timeout))) return `10${unit}`;
  return answer !== 'never' && timeout === '1' ? '50000' : timeout;
}

const acceptEncodings = usually<string | undefined>(
  undefined,
  'gzip',
  'gzip, deflate, br',
  'br',
  'identity',
  'gzip;q=0',
  'br;q=0, gzip',
  'gzip;q=0.5, br;q=1.0',
  '*',
  'GZIP',
  'zstd',
  '',
  'gzip ; q=0.0',
);

/** Fields that clients and proxies add, and some that come twice. */
const extraFields = fc.oneof(
  { arbitrary: fc.constant<[string, string][]>([]), weight: 6 },
  {
    arbitrary: fc.constantFrom<[string, string][]>(
      [['user-agent', 'test/1.0']],
      [
        ['x-custom', 'a'],
        ['x-custom', 'b'],
      ],
      [['custom-bin', 'AAEC']],
      [['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01']],
      [['authorization', 'Bearer x']],
      [['origin', 'https://app.example.com']],
      [['origin', 'https://evil.example.com']],
      [
        ['accept-encoding', 'gzip'],
        ['accept-encoding', 'br'],
      ],
      [
        ['grpc-accept-encoding', 'gzip'],
        ['grpc-accept-encoding', 'identity'],
      ],
      [['connect-timeout-ms', '70000']],
      [['x-custom', 'ä']],
    ),
    weight: 4,
  },
);

function push(fields: [string, string][], name: string, value: string | undefined): void {
  if (value !== undefined) fields.push([name, value]);
}

const ODD_TYPES = [
  'Application/JSON',
  'application/json; charset=utf-8',
  'application/json;charset=utf-8',
  'application/json; charset=UTF-8',
  'application/json; charset=latin1',
  'application/json ; charset=utf-8',
  'application/json; a=b',
  'application/proto; charset=utf-8',
  'application/PROTO',
  'application/x-protobuf',
  'application/connect+proto',
  'application/connect+json',
  'application/xml',
  'application/',
];
const ODD_GRPC_TYPES = [
  'application/grpc-web+proto',
  'application/grpc; charset=utf-8',
  'application/grpc+xml',
  'Application/grpc',
  'application/grpc+proto; a=b',
];
