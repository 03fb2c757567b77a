import { create, fromBinary, fromJsonString, type Message, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchGetPostsRequestSchema, GetPostRequestSchema } from '#gen/blog/v1/post_service_pb.js';
import { createRequestCache } from '#src/rpc/unary/codec/request-cache.ts';

describe('createRequestCache', () => {
  it('gives what parsing gives, whatever was asked for before', () => {
    const remembering = createRequestCache(parseBatch);
    const ids = fc.array(fc.constantFrom('a', 'b', 'é', '\u{1f600}', 'x'.repeat(200)), { maxLength: 3 });
    fc.assert(
      fc.property(ids, fc.boolean(), fc.boolean(), (ids, binary, asText) => {
        const json = JSON.stringify({ ids });
        const bytes = binary
          ? Buffer.from(toBinary(BatchGetPostsRequestSchema, create(BatchGetPostsRequestSchema, { ids })))
          : Buffer.from(json);
        const request = asText && !binary ? json : bytes;
        expect(remembering(request, binary)).toEqual(parseBatch(request, binary));
      }),
    );
  });

  it('parses the same request once, and freezes it with all that it has', () => {
    const { parse, parsed } = counted();
    const remembering = createRequestCache(parse);
    const first = remembering(Buffer.from('{"id":"1"}'), false);
    expect(remembering(Buffer.from('{"id":"1"}'), false)).toBe(first);
    expect(parsed()).toBe(1);
    expect(() => Object.assign((first as unknown as { key: object }).key, { value: '2' })).toThrow(TypeError);
  });

  it('keeps apart JSON and binary requests of the same bytes', () => {
    const remembering = createRequestCache((_request, binary) => ({ $typeName: binary ? 'binary' : 'json' }));
    expect(remembering(Buffer.alloc(0), true).$typeName).toBe('binary');
    expect(remembering(Buffer.alloc(0), false).$typeName).toBe('json');
  });

  it('forgets what was not asked for while 2,048 others were', () => {
    const { parse, parsed } = counted();
    const remembering = createRequestCache(parse);
    for (let id = 0; id < 2049; id++) remembering(`{"id":"${id}"}`, false);
    remembering('{"id":"2048"}', false);
    expect(parsed()).toBe(2049);
    remembering('{"id":"0"}', false);
    expect(parsed()).toBe(2050);
  });

  it('remembers no request that can not be parsed, and no large one', () => {
    const { parse, parsed } = counted();
    const remembering = createRequestCache(parse);
    for (const text of ['{', `{"id":"${'x'.repeat(300)}"}`]) {
      for (let i = 0; i < 2; i++) {
        try {
          remembering(text, false);
        } catch {}
      }
    }
    expect(parsed()).toBe(4);
  });
});

function parseBatch(request: Buffer | string, binary: boolean): Message {
  if (binary) return fromBinary(BatchGetPostsRequestSchema, request as Buffer);
  return fromJsonString(BatchGetPostsRequestSchema, request.toString());
}

function counted() {
  let count = 0;
  return {
    parsed: () => count,
    parse: (request: Buffer | string): Message => {
      count++;
      return fromJsonString(GetPostRequestSchema, request.toString());
    },
  };
}
