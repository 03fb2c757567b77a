import { create, type MessageInitShape, toBinary, toJsonString } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBinary, decodeJson, MalformedMessageError } from '#client/strict-messages.ts';
import {
  BatchCreatePostsRequestSchema,
  CreatePostRequestSchema,
  ListPostsRequestSchema,
  UpdatePostRequestSchema,
} from '#gen/blog/v1/post_service_pb.js';

describe('decodeBinary', () => {
  it('reads what toBinary writes', () => {
    fc.assert(
      fc.property(batch(), init => {
        const message = create(BatchCreatePostsRequestSchema, init);
        const bytes = toBinary(BatchCreatePostsRequestSchema, message);
        expect(decodeBinary(BatchCreatePostsRequestSchema, bytes)).toEqual(message);
      }),
    );
  });

  it('has a known field of another wire type among the unknown ones, in a message within a message too', () => {
    const post = new BinaryWriter()
      .tag(3, WireType.LengthDelimited)
      .string('A title')
      .tag(5, WireType.Varint)
      .uint32(7);
    const bytes = new BinaryWriter()
      .tag(3, WireType.LengthDelimited)
      .string('not a bool')
      .tag(1, WireType.LengthDelimited)
      .bytes(post.finish())
      .finish();
    const message = decodeBinary(CreatePostRequestSchema, bytes);
    expect(message).toMatchObject({ validateOnly: false, post: { title: 'A title', author: '' } });
    expect(message.$unknown).toMatchObject([{ no: 3, wireType: WireType.LengthDelimited }]);
    expect(message.post?.$unknown).toEqual([{ no: 5, wireType: WireType.Varint, data: new Uint8Array([7]) }]);
    // Written again it is there, byte for byte.
    const again = decodeBinary(CreatePostRequestSchema, toBinary(CreatePostRequestSchema, message));
    expect(again).toEqual(message);
  });

  it.each([
    ['post.title', 'text that is no UTF-8', '0a051a0363e961'],
    ['post.tags[1]', 'the second element of a list', '0a063201613201e9'],
    ['request_id', 'a length beyond the end', '12056162'],
    ['post.title', 'a field that ends beyond its message', '0a031a056162636465'],
    ['', 'a field number of 0', '0001'],
  ])('names the field at fault, %s: %s', (field, _, hex) => {
    const error = failure(() => decodeBinary(CreatePostRequestSchema, Buffer.from(hex, 'hex')));
    expect(error.field).toBe(field);
  });
});

describe('decodeJson', () => {
  it('reads what toJsonString writes, as text and as bytes', () => {
    fc.assert(
      fc.property(batch(), init => {
        const message = create(BatchCreatePostsRequestSchema, init);
        const json = toJsonString(BatchCreatePostsRequestSchema, message);
        expect(decodeJson(BatchCreatePostsRequestSchema, json)).toEqual(message);
        expect(decodeJson(BatchCreatePostsRequestSchema, Buffer.from(json))).toEqual(message);
      }),
    );
  });

  it.each([
    [
      'requests[1].post.publish_time',
      '{"requests":[{},{"post":{"publishTime":"2026-02-30T00:00:00Z"}}]}',
      /date that exists/,
    ],
    ['requests[0].post.tags[1]', '{"requests":[{"post":{"tags":["a",5]}}]}', /must be a string/],
    ['requests[0].validate_only', '{"requests":[{"validateOnly":"true"}]}', /true or false/],
    ['requests', '{"requests":{}}', /an array/],
    ['requests[0].post', '{"requests":[{"post":{"title":"a","title":"b"}}]}', /title twice/],
    ['requests[0].post.title', '{"requests":[{"post":{"title":"\\ud83d"}}]}', /half of a surrogate pair/],
  ])('names the field at fault: %s', (field, json, description) => {
    const error = failure(() => decodeJson(BatchCreatePostsRequestSchema, json));
    expect(error).toMatchObject({ field, description: expect.stringMatching(description) });
  });

  it('takes * for a mask, which protobuf has no place for', () => {
    expect(decodeJson(UpdatePostRequestSchema, '{"updateMask":"*"}').updateMask?.paths).toEqual(['*']);
  });

  it('ignores a byte order mark in front of the bytes', () => {
    expect(decodeJson(ListPostsRequestSchema, Buffer.from('\ufeff{"pageSize": 1}')).pageSize).toBe(1);
  });

  it('ignores unknown fields, and refuses them where it is told to', () => {
    const json = '{"pageSize":1,"newer":{"a":[1]}}';
    expect(decodeJson(ListPostsRequestSchema, json).pageSize).toBe(1);
    expect(failure(() => decodeJson(ListPostsRequestSchema, json, { ignoreUnknownFields: false })).message).toMatch(
      /"newer" is unknown/,
    );
  });

  it('finds the end of a string behind any number of backslashes', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom('\\', '"', 'a', '{', ','), maxLength: 9 })), tags => {
        const json = JSON.stringify({ post: { tags, title: 'z' } });
        expect(decodeJson(CreatePostRequestSchema, json).post).toMatchObject({ tags, title: 'z' });
      }),
    );
  });
});

function failure(run: () => unknown): MalformedMessageError {
  try {
    run();
  } catch (error) {
    if (error instanceof MalformedMessageError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

/** Requests as clients send them. */
function batch(): fc.Arbitrary<MessageInitShape<typeof BatchCreatePostsRequestSchema>> {
  const text = fc.string({ unit: 'grapheme', maxLength: 20 });
  const time = fc.record({ seconds: fc.bigInt(-62_135_596_800n, 253_402_300_799n), nanos: fc.nat(999_999_999) });
  const post = fc.record(
    { title: text, content: text, author: text, tags: fc.array(text, { maxLength: 3 }), publishTime: time },
    { requiredKeys: [] },
  );
  const request = fc.record({ post, requestId: text, validateOnly: fc.boolean() }, { requiredKeys: [] });
  return fc.record({ requests: fc.array(request, { maxLength: 4 }) });
}
