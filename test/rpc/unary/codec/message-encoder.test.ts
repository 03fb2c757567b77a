import { create, fromBinary, type MessageInitShape, toBinary, toJsonString } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GetPostResponseSchema, ListPostsResponseSchema } from '#gen/blog/v1/post_service_pb.js';
import { createJsonWriter } from '#src/rpc/unary/codec/json-writer.ts';
import { MessageEncoder } from '#src/rpc/unary/codec/message-encoder.ts';
import { messageParts } from '#src/rpc/unary/codec/message-parts.ts';
import { EncodedMessage } from '#src/wire/encoded-message.ts';
import type { AnswerMessage } from '#src/wire/http-exchange.ts';
import { StreamedMessage } from '#src/wire/streamed-message.ts';

describe('MessageEncoder', () => {
  it('encodes a frozen message once for each format, and any other each time', () => {
    let encodings = 0;
    const count = <T>(encoded: T): T => {
      encodings++;
      return encoded;
    };
    const encoder = new MessageEncoder({
      toBinary: given => count(toBinary(GetPostResponseSchema, given as never)),
      toJson: given => count(toJsonString(GetPostResponseSchema, given as never)),
      parts: messageParts(GetPostResponseSchema, given => toJsonString(GetPostResponseSchema, given as never)),
    });
    const open = create(GetPostResponseSchema, { post: { slug: 'x' } });
    for (let i = 0; i < 2; i++) expect(bytesOf(encoder.encode(open, false)).toString()).toBe('{"post":{"slug":"x"}}');
    expect(encodings).toBe(2);
    const frozen = Object.freeze(create(GetPostResponseSchema, { post: { slug: 'x' } }));
    for (const binary of [true, false]) expect(encoder.encode(frozen, binary)).toBe(encoder.encode(frozen, binary));
    expect(encodings).toBe(4);
    expect(bytesOf(encoder.encode(frozen, true))).toEqual(Buffer.from(toBinary(GetPostResponseSchema, frozen)));
  });
});

describe('A large message', () => {
  const content = fc
    .tuple(
      fc.constantFrom('\u0001', 'a', 'a "b"\n', 'é\\', '日本', '😀', '😀x'),
      fc.string({ unit: 'grapheme', maxLength: 9 }),
    )
    .map(([unit, rest]) => rest + unit.repeat(LARGE / unit.length) + rest);
  const pages = fc.record({ contents: fc.array(content, { minLength: 1, maxLength: 3 }), nextPageToken: fc.string() });

  it('has the bytes that a small one would have in JSON, and their number before', () => {
    fc.assert(
      fc.property(pages, page => {
        const message = create(ListPostsResponseSchema, toPage(page));
        const encoded = ENCODER.encode(message, false);
        expect(encoded).toBeInstanceOf(StreamedMessage);
        const bytes = bytesOf(encoded);
        expect(bytes.equals(Buffer.from(toJsonString(ListPostsResponseSchema, message)))).toBe(true);
        expect(encoded.length).toBe(bytes.length);
      }),
      { numRuns: 20 },
    );
  });

  it('is the same message in protobuf, with as many bytes', () => {
    fc.assert(
      fc.property(pages, page => {
        const message = create(ListPostsResponseSchema, toPage(page));
        const encoded = ENCODER.encode(message, true);
        expect(encoded).toBeInstanceOf(StreamedMessage);
        const bytes = bytesOf(encoded);
        expect(encoded.length).toBe(toBinary(ListPostsResponseSchema, message).length);
        expect(toJsonString(ListPostsResponseSchema, fromBinary(ListPostsResponseSchema, bytes))).toBe(
          toJsonString(ListPostsResponseSchema, message),
        );
      }),
      { numRuns: 20 },
    );
  });

  it('begins with its length in an envelope', () => {
    const encoded = ENCODER.encode(create(ListPostsResponseSchema, toPage({ contents: ['x'.repeat(LARGE)] })), true);
    const envelope = bytesOf(encoded, true);
    expect([envelope[0], envelope.readUInt32BE(1), envelope.length - 5]).toEqual([0, encoded.length, encoded.length]);
  });

  it('has an entity tag of its own for each content and format', () => {
    const tagOf = (contents: string[], binary: boolean) =>
      ENCODER.encode(create(ListPostsResponseSchema, toPage({ contents })), binary).etag;
    const [a, b] = ['a'.repeat(LARGE), 'b'.repeat(LARGE)] as [string, string];
    expect(tagOf([a], false)).toBe(tagOf([a], false));
    const tags = [tagOf([a], false), tagOf([a], true), tagOf([b], false), tagOf([a, b], false), tagOf([b, a], false)];
    expect(new Set(tags).size).toBe(5);
  });

  it('with half of a surrogate pair is encoded at once, as the formats have it', () => {
    const message = create(ListPostsResponseSchema, toPage({ contents: [`${'x'.repeat(LARGE)}\ud800`] }));
    const encoded = ENCODER.encode(message, false);
    expect(encoded).toBeInstanceOf(EncodedMessage);
    expect(bytesOf(encoded).toString()).toBe(toJsonString(ListPostsResponseSchema, message));
  });

  it('keeps little memory beside the texts, and gives that back when it is freed', () => {
    const encoded = ENCODER.encode(
      create(ListPostsResponseSchema, toPage({ contents: ['\u0001'.repeat(LARGE)] })),
      false,
    );
    expect(encoded.length).toBeGreaterThan(6 * LARGE);
    expect(encoded.heldBytes).toBeLessThan(2 * LARGE + 200_000);
    const before = process.memoryUsage().arrayBuffers;
    encoded.free();
    expect(before - process.memoryUsage().arrayBuffers).toBeGreaterThanOrEqual(LARGE);
  });
});

const LARGE = 300_000;
const toJson = createJsonWriter(ListPostsResponseSchema);
const ENCODER = new MessageEncoder({
  toBinary: message => toBinary(ListPostsResponseSchema, message as never),
  toJson,
  parts: messageParts(ListPostsResponseSchema, toJson),
});

function toPage(page: {
  readonly contents: readonly string[];
  readonly nextPageToken?: string;
}): MessageInitShape<typeof ListPostsResponseSchema> {
  const { contents, nextPageToken = '' } = page;
  const posts = contents.map((content, n) => ({
    id: String(n),
    content,
    tags: ['a', 'b'],
    createTime: { seconds: 5n, nanos: 1_000_000 },
  }));
  return { posts, nextPageToken };
}

function bytesOf(message: AnswerMessage, isEnveloped = false): Buffer {
  const pieces: Buffer[] = [];
  for (const piece of message.pieces(isEnveloped)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}
