import { create, type DescMessage, type Message, toJsonString } from '@bufbuild/protobuf';
import {
  AnySchema,
  FieldDescriptorProtoSchema,
  type Timestamp,
  TimestampSchema,
  ValueSchema,
} from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PostSchema } from '#gen/blog/v1/post_pb.js';
import { GetPostRequestSchema, ListPostsRequestSchema, ListPostsResponseSchema } from '#gen/blog/v1/post_service_pb.js';
import { createJsonWriter } from '#src/rpc/unary/codec/json-writer.ts';

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('', '\ud800', '"\\\n'),
);
const timestamp = fc
  .record({ seconds: fc.bigInt(-62_135_596_800n, 253_402_300_799n), nanos: fc.integer({ min: 0, max: 999_999_999 }) })
  .map(init => create(TimestampSchema, init));
const post = fc
  .record(
    {
      id: text,
      slug: text,
      title: text,
      content: fc.string({ unit: 'binary', maxLength: 600 }),
      tags: fc.array(text),
      createTime: timestamp,
      publishTime: timestamp,
    },
    { requiredKeys: [] },
  )
  .map(init => create(PostSchema, init));

describe('A JSON writer', () => {
  it('writes messages, lists and texts as the library does', () => {
    const response = fc
      .record({ posts: fc.array(post, { maxLength: 4 }), nextPageToken: text })
      .map(init => create(ListPostsResponseSchema, init));
    fc.assert(fc.property(response, message => expectSame(ListPostsResponseSchema, message)));
  });

  it('writes numbers, booleans and enums as the library does, those without a name too', () => {
    const request = fc
      .record({
        pageSize: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        skip: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        view: fc.integer({ min: -1, max: 5 }),
        showDeleted: fc.boolean(),
      })
      .map(fields => Object.assign(create(ListPostsRequestSchema), fields));
    fc.assert(fc.property(request, message => expectSame(ListPostsRequestSchema, message)));
  });

  it.each([{ case: 'id', value: '' } as const, { case: 'slug', value: 'a' } as const, { case: undefined } as const])(
    'writes the field of a oneof that is set, if it is empty too: %j',
    key => expectSame(GetPostRequestSchema, create(GetPostRequestSchema, { key })),
  );

  it('writes timestamps of the years 1 to 9999 as the library does', () => {
    fc.assert(
      fc.property(timestamp, message => expectSame(TimestampSchema, message)),
      { numRuns: 1000 },
    );
  });

  it.each([
    ...['0001-01-01', '0001-12-31', '1600-02-29', '1900-02-28', '1900-03-01', '1969-12-31', '1970-01-01', '2000-02-29'],
    ...['2024-02-29', '2024-12-31', '2100-02-28', '9999-12-31'],
  ])('writes the day %s', day => {
    for (const time of ['00:00:00', '23:59:59']) expect(writeTime(`${day}T${time}Z`)).toBe(`"${day}T${time}Z"`);
  });

  it.each([
    ['before the year 1', { seconds: -62_135_596_801n, nanos: 0 }],
    ['after the year 9999', { seconds: 253_402_300_800n, nanos: 0 }],
    ['of negative nanoseconds', { seconds: 0n, nanos: -1 }],
    ['of more nanoseconds than a second has', { seconds: 0n, nanos: 1_000_000_000 }],
  ])('refuses a timestamp %s, as the library does', (_, init) =>
    expectSame(PostSchema, create(PostSchema, { createTime: create(TimestampSchema, init) })),
  );

  it.each<[string, DescMessage, object]>([
    ['a text that is none', PostSchema, { title: 5 }],
    ['an item that is none', PostSchema, { tags: ['a', undefined] }],
    ['a number that is none', ListPostsRequestSchema, { pageSize: '5' }],
    ['a boolean that is none', ListPostsRequestSchema, { showDeleted: 'yes' }],
    ['a message of another type', PostSchema, { createTime: create(PostSchema) }],
  ])('refuses %s, as the library does', (_, type, fields) =>
    expectSame(type, Object.assign(create(type), fields) as Message),
  );

  it.each<[string, DescMessage, Record<string, unknown>]>([
    ['fields that tell unset from empty', FieldDescriptorProtoSchema, { name: '', options: {} }],
    ['any message', AnySchema, { typeUrl: 'type.googleapis.com/unknown' }],
    ['what has a JSON of its own', ValueSchema, { kind: { case: 'numberValue', value: 1 } }],
  ])('leaves %s to the library', (_, type, init) => expectSame(type, create(type, init)));

  it('leaves out fields that the schema does not know', () => {
    const unknown = [{ no: 99, wireType: 0, data: new Uint8Array([1]) }];
    expectSame(PostSchema, Object.assign(create(PostSchema, { id: 'a' }), { $unknown: unknown }));
  });
});

function writeTime(text: string): string {
  return createJsonWriter(TimestampSchema)(
    create(TimestampSchema, { seconds: BigInt(Date.parse(text) / 1000) }) satisfies Timestamp,
  );
}

/** The same text, or the same error. */
function expectSame(type: DescMessage, message: Message): void {
  expect(outcome(() => createJsonWriter(type)(message))).toEqual(outcome(() => toJsonString(type, message)));
}

function outcome(write: () => string): { text: string } | { error: string } {
  try {
    return { text: write() };
  } catch (error) {
    return { error: String(error) };
  }
}
