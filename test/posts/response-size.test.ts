import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchGetPostsResponseSchema } from '#gen/blog/v1/post_service_pb.js';
import { toMessage } from '#src/posts/api/post-message.ts';
import type { Post } from '#src/posts/post.ts';
import { countFitting, createdSize, encodedSize } from '#src/posts/response-size.ts';

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.nat(70_000).map(length => 'x'.repeat(length)),
  fc.constantFrom('', '\0', 'é'.repeat(64), '😀'.repeat(32), 'x'.repeat(127), 'x'.repeat(128), 'x'.repeat(16_384)),
);
const time = fc.oneof(
  fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
  fc.constantFrom(new Date(0), new Date(-1), new Date(1000), new Date(1001)),
);
const maybe = fc.option(time, { nil: undefined });
const post: fc.Arbitrary<Post> = fc.record({
  id: fc.uuid(),
  slug: text,
  title: text,
  content: text,
  author: text,
  tags: fc.array(text, { maxLength: 32 }),
  publishTime: maybe,
  createTime: time,
  updateTime: time,
  deleteTime: maybe,
  purgeTime: maybe,
  // No text of an author's.
  etag: fc.string({ maxLength: 30 }),
});

describe('encodedSize', () => {
  it('is what protobuf makes of it', () => {
    fc.assert(
      fc.property(post, one => {
        expect(encodedSize(one)).toBe(bytesOf([one]));
      }),
    );
  });
});

describe('countFitting', () => {
  it('counts the posts from the first on that fit, to the byte', () => {
    fc.assert(
      fc.property(fc.array(post, { maxLength: 5 }), fc.nat(5), fc.constantFrom(-1, 0, 1), (posts, count, more) => {
        const maxBytes = bytesOf(posts.slice(0, count)) + more;
        const fits = (length: number) => bytesOf(posts.slice(0, length)) <= maxBytes;
        const expected = posts.reduce((most, _, index) => (fits(index + 1) ? index + 1 : most), 0);
        expect(countFitting(posts, maxBytes)).toBe(expected);
      }),
    );
  });
});

describe('createdSize', () => {
  it('is never less than what the created post has', () => {
    fc.assert(
      fc.property(post, time, fc.array(fc.string()), (one, createTime, slugIfTaken) => {
        const etag = `1-${Math.abs(createTime.getTime()).toString(36).slice(0, 9)}`;
        const { deleteTime: _deleted, purgeTime: _purged, ...content } = one;
        const created = { ...content, createTime: new Date(Math.abs(createTime.getTime())), etag };
        const at = { updateTime: created.createTime, deleteTime: undefined, purgeTime: undefined };
        const size = createdSize({
          ...content,
          slug: 'x',
          slugIfTaken: [...slugIfTaken, one.slug],
          request: undefined,
        });
        expect(size).toBeGreaterThanOrEqual(bytesOf([{ ...created, ...at }]));
      }),
    );
  });
});

function bytesOf(posts: readonly Post[]): number {
  return toBinary(BatchGetPostsResponseSchema, create(BatchGetPostsResponseSchema, { posts: posts.map(toMessage) }))
    .length;
}
