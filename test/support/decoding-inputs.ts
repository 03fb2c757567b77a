import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  BatchCreatePostsRequestSchema,
  BatchGetPostsRequestSchema,
  CreatePostRequestSchema,
  DeletePostRequestSchema,
  GetPostRequestSchema,
  ListPostsRequestSchema,
  UndeletePostRequestSchema,
  UpdatePostRequestSchema,
  WatchPostsRequestSchema,
  WatchPostsResponseSchema,
} from '#gen/blog/v1/post_service_pb.js';
import { ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import type { DecodingInput } from '#test/support/protobuf-go.ts';

/** The types that inputs are of: what clients send, and an answer and a detail of an error, which have what requests lack. */
export const DECODED_TYPES: readonly DescMessage[] = [
  BatchCreatePostsRequestSchema,
  BatchGetPostsRequestSchema,
  CreatePostRequestSchema,
  DeletePostRequestSchema,
  GetPostRequestSchema,
  ListPostsRequestSchema,
  UndeletePostRequestSchema,
  UpdatePostRequestSchema,
  WatchPostsRequestSchema,
  WatchPostsResponseSchema,
  ErrorInfoSchema,
];

/** Messages that are right, or nearly so, or wrong in ways that decoders differ about; the same ones for the same seed. */
export function decodingInputs(seed: number, count: number): DecodingInput[] {
  const random = new Dice(seed);
  return Array.from({ length: count }, () => {
    const schema = random.pick(DECODED_TYPES);
    const json = random.chance(0.5);
    let bytes = json ? jsonText(schema, random) : binary(schema, random, 0);
    if (random.chance(0.15)) bytes = flipped(bytes, random);
    return { type: schema.typeName, json, bytes: bytes.toString('base64') };
  });
}

function jsonText(schema: DescMessage, random: Dice): Buffer {
  const text = random.chance(0.02) ? random.pick(['null', '[]', '"x"', '', '1', '{} {}']) : jsonObject(schema, random);
  // A character stands for a byte, so that there are bytes that are no UTF-8.
  const latin = Buffer.from(text.replaceAll('é', '\u00c3\u00a9'), 'latin1');
  return random.chance(0.02) ? Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), latin]) : latin;
}

function jsonObject(schema: DescMessage, random: Dice): string {
  const fields = schema.fields.filter(() => random.chance(0.45));
  if (random.chance(0.05) && fields[0] !== undefined) fields.push(fields[0]);
  const members = fields.map(field => {
    const name = random.chance(0.7) ? field.jsonName : field.name;
    const key = random.chance(0.03) ? `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}` : name;
    return `"${key}":${jsonOf(field, random)}`;
  });
  if (random.chance(0.1)) members.push(`"unknown":${random.pick(['1', '{"a":[1e400,"x",{}]}', '"\\ud83d"', 'null'])}`);
  return `{${members.join(random.pick([',', ', ', ',\n\t']))}}`;
}

function jsonOf(field: DescField, random: Dice): string {
  if (random.chance(0.04)) return 'null';
  if (random.chance(0.04)) return random.pick(['true', '5', '"x"', '[]', '{}', '[1]', '1.5', '"\xe9"']);
  const one = () => (random.chance(0.02) ? 'null' : jsonValue(field, random));
  if (field.fieldKind === 'list') return `[${Array.from({ length: random.below(3) }, one).join(',')}]`;
  if (field.fieldKind === 'map')
    return `{${Array.from({ length: random.below(3) }, (_, n) => `"${'k'.repeat(n + 1)}":${one()}`).join(',')}}`;
  return one();
}

function jsonValue(field: DescField, random: Dice): string {
  switch (field.message?.typeName) {
    case undefined:
      break;
    case 'google.protobuf.Timestamp':
      return `"${random.chance(0.6) ? time(random) : random.pick(TIMES)}"`;
    case 'google.protobuf.FieldMask':
      return `"${random.pick(MASKS)}"`;
    default:
      return jsonObject(field.message as DescMessage, random);
  }
  if (field.enum !== undefined) {
    const names = field.enum.values.map(({ name }) => `"${name}"`);
    return random.pick([...names, '0', '1', '2.0', '99', '-1', '"1"', '"NO_SUCH"', '2147483648', '1.5', '1e0', 'true']);
  }
  if (field.scalar === ScalarType.STRING) return random.pick(JSON_STRINGS);
  if (field.scalar === ScalarType.BOOL) return random.pick(['true', 'false', 'true', 'false', '"true"', '1', '0']);
  const number = random.pick(NUMBERS);
  return random.chance(0.5) ? `"${number}"` : number;
}

/** Mostly one that exists. */
function time(random: Dice): string {
  const part = (good: number, from: number, odd: readonly string[]) =>
    random.chance(0.12) ? random.pick(odd) : String(from + random.below(good)).padStart(2, '0');
  const year = random.chance(0.2)
    ? random.pick(['0000', '0001', '9999', '10000', '999'])
    : String(1896 + random.below(250));
  const month = part(12, 1, ['00', '13', '1']);
  const day = part(31, 1, ['00', '32', '1', '30', '31', '29']);
  const hour = part(24, 0, ['24', '25']);
  const minute = part(60, 0, ['60', '1']);
  const second = part(60, 0, ['60', '61', '1']);
  const fraction = random.pick(['', '', '.0', '.5', '.123456789', '.1234567890', '.', '.x']);
  const zone = random.pick([
    'Z',
    'Z',
    'Z',
    'z',
    '',
    '+00:00',
    '-00:00',
    '+01:00',
    '-23:59',
    '+23:60',
    '+0100',
    '+1:00',
  ]);
  return `${year}-${month}-${day}${random.pick(['T', 'T', 'T', 'T', 't', ' '])}${hour}:${minute}:${second}${fraction}${zone}`;
}

function binary(schema: DescMessage, random: Dice, depth: number): Buffer {
  const parts: Uint8Array[] = [];
  for (let n = random.below(5); n > 0; n--) parts.push(record(schema, random, depth));
  if (random.chance(0.02))
    parts.push(Buffer.from(random.pick(['00', '07', '0f', '0c', '08', '0a', '0aff', 'ffffffffffffffffff01']), 'hex'));
  return Buffer.concat(parts);
}

function record(schema: DescMessage, random: Dice, depth: number): Uint8Array {
  const field = schema.fields.length === 0 ? undefined : random.pick(schema.fields);
  const isKnown = field !== undefined && random.chance(0.85);
  const number = isKnown ? field.number : random.pick([16, 99, 536_870_911, 19_000]);
  const wireType = isKnown && random.chance(0.8) ? rightWireType(field) : random.below(6);
  const tag = varint(BigInt(number) * 8n + BigInt(wireType), random);
  return Buffer.concat([tag, binaryValue(isKnown ? field : undefined, number, wireType, random, depth)]);
}

function binaryValue(
  field: DescField | undefined,
  number: number,
  wireType: number,
  random: Dice,
  depth: number,
): Uint8Array {
  switch (wireType) {
    case 0:
      return varint(random.pick([0n, 1n, 2n, 99n, 2n ** 31n, 2n ** 32n + 5n, 2n ** 63n, 2n ** 64n - 1n]), random);
    case 1:
      return Buffer.alloc(8, random.below(256));
    case 2: {
      const child = field?.message;
      let bytes: Uint8Array = child !== undefined && depth < 4 ? binary(child, random, depth + 1) : random.pick(TEXTS);
      if (field?.fieldKind === 'map') bytes = Buffer.concat([varint(10n, random), Buffer.from([1, 65]), bytes]);
      const length = bytes.length + (random.chance(0.04) ? random.pick([-1, 1, 5, 1000]) : 0);
      return Buffer.concat([varint(BigInt(Math.max(0, length)), random), bytes]);
    }
    case 3: {
      const end = new BinaryWriter().tag(random.chance(0.9) ? number : 5, 4).finish();
      return Buffer.concat([
        random.pick([Buffer.alloc(0), Buffer.from('0801', 'hex'), Buffer.from('0b0c', 'hex')]),
        end,
      ]);
    }
    case 5:
      return Buffer.alloc(4, random.below(256));
    default:
      return Buffer.alloc(0);
  }
}

function rightWireType(field: DescField): number {
  if (field.message !== undefined || field.fieldKind === 'map' || field.scalar === ScalarType.STRING) return 2;
  return 0;
}

/** Sometimes longer than it has to be, or than it may be. */
function varint(value: bigint, random: Dice): Buffer {
  const bytes: number[] = [];
  for (let rest = value; rest > 0n || bytes.length === 0; rest >>= 7n) bytes.push(Number(rest & 0x7fn));
  if (random.chance(0.04)) for (let n = 1 + random.below(11); n > 0; n--) bytes.push(0);
  return Buffer.from(bytes.map((byte, at) => (at < bytes.length - 1 ? byte | 0x80 : byte)));
}

function flipped(bytes: Buffer, random: Dice): Buffer {
  if (bytes.length === 0) return bytes;
  const copy = Buffer.from(bytes);
  copy[random.below(copy.length)] = random.below(256);
  return random.chance(0.3) ? copy.subarray(0, random.below(copy.length)) : copy;
}

/** Random numbers that a seed gives again (mulberry32). */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

const NUMBERS = [
  ...['0', '1', '20', '1.0', '1.50', '1e2', '1E2', '10e-1', '0.1e1', '1e0', '-0', '0e400', '0.0e9', '1000000.0e-3'],
  ...[
    '0x1',
    '0X1F',
    '0b1',
    '0o7',
    '01',
    '00',
    '+1',
    '-',
    '',
    ' 1',
    '1 ',
    '1\u00a0',
    '.5',
    '1.',
    '1e',
    '1e+',
    'e1',
    '1_0',
  ],
  ...[
    '1.5',
    '1e-1',
    '1e400',
    '1e-400',
    '-1',
    '2147483647',
    '2147483648',
    '-2147483648',
    '-2147483649',
    '1e10',
    '4294967297',
  ],
  ...[
    '0.99999999999999999999',
    '1.00000000000000000001',
    '100000000000000000000000e-23',
    '0.00000000000000000000001e23',
  ],
  ...['NaN', 'Infinity', '-Infinity', 'null', 'true', '[1]', '\u00b2', '1n', '1,0', '0.5e1', '12.5e1', '1e99999999999'],
];

const TIMES = [
  ...[
    '2026-02-30T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2024-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
  ],
  ...[
    '2026-04-31T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-12-31T23:59:60Z',
    '2026-01-01T00:60:00Z',
    '2026-13-01T00:00:00Z',
  ],
  ...['0001-01-01T00:00:00Z', '0001-01-01T00:00:00+00:01', '0001-01-01T00:00:00-00:01', '0000-12-31T23:59:59-00:01'],
  ...[
    '9999-12-31T23:59:59.999999999Z',
    '9999-12-31T23:59:59-00:01',
    '9999-12-31T23:59:59+00:01',
    '10000-01-01T00:00:00Z',
  ],
  ...[
    '2026-01-01',
    '2026-01-01T00:00Z',
    '2026-01-01T00:00:00',
    'Z',
    '',
    '2026-W01-1T00:00:00Z',
    '+002026-01-01T00:00:00Z',
  ],
  ...[
    '2026-01-01T00:00:00Z ',
    ' 2026-01-01T00:00:00Z',
    '2026-01-01T00:00:00ZZ',
    '2026-01-01T00:00:00.1.1Z',
    '1767225600',
  ],
  ...[
    '2026-01-01T00:00:00+24:00',
    '2026-01-01T00:00:00+25:00',
    '2026-01-01T00:00:00,5Z',
    '2026-01-01T0:00:00Z',
    '-001-01-01T00:00:00Z',
  ],
];

const MASKS = [
  ...[
    '',
    'title',
    'title,slug',
    'publishTime',
    'publish_time',
    'post.title',
    'a,,b',
    ',',
    'title,',
    ' title',
    'title, slug',
  ],
  ...['*', 'Title', '1a', 'a.1', 'a.', '.a', 'a b', 'é', 'fooBar.bazQux', 'a-b', 'title\\u0000', 'createTime'],
];

const JSON_STRINGS = [
  ...[
    '""',
    '"a"',
    '"Hello"',
    '"é"',
    '"\\u00e9"',
    '"\\ud83d\\ude00"',
    '"\\\\"',
    '"\\""',
    '"\\\\\\""',
    '"a\\u0000b"',
    '"\\/"',
  ],
  ...[
    '"\\ud83d"',
    '"\\ude00"',
    '"\\ude00\\ud83d"',
    '"\\ud83dx"',
    '"\\\\ud83d"',
    '"\\uD83D\\uDE0"',
    '"\xe9"',
    '"\xed\xa0\x80"',
  ],
  ...[
    '"\xc0\x80"',
    '"\xf4\x90\x80\x80"',
    '"\x01"',
    '"\\x41"',
    '"\xef\xbb\xbf"',
    '"019a8f3c-5b7e-7c1a-9d2e-0f4b6a8c1d3e"',
  ],
];

const TEXTS = ['', 'a', 'é', '😀', 'a\0', '\ufeff']
  .map(text => Buffer.from(text))
  .concat([Buffer.from([0xe9]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0xc0, 0x80]), Buffer.alloc(200, 'x')]);
