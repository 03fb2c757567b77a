import { type Client, createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { TRANSPORTS } from '#test/support/transports.ts';

/** A time that can be written neither in protobuf nor in JSON. */
const POST = { createTime: { seconds: 'never' as unknown as bigint, nanos: 0 } };
const ENCODINGS = [
  'Connect in protobuf over HTTP/1.1',
  'Connect in JSON over HTTP/1.1',
  'Connect over HTTP/2',
  'gRPC over HTTP/2',
  'gRPC-Web over HTTP/1.1',
] as const;

describe.each([
  ['with the fast path', true],
  ['without it', false],
])('a response that can not be written, %s', (_, fastPath) => {
  let port: PublicPort;
  beforeAll(async () => {
    port = await openPublicPort({
      fastPath,
      posts: {
        getPost: () => ({ post: POST }),
        async *watchPosts() {
          yield { change: { post: POST } };
        },
      },
    });
  });
  afterAll(() => port[Symbol.asyncDispose]());

  describe.each(ENCODINGS)('through %s', name => {
    it.each(['a call', 'a stream'] as const)(
      'is INTERNAL, says nothing of its cause, and the log does: %s',
      async what => {
        const id = `${what} ${name}`.replaceAll(/[^A-Za-z0-9]/g, '-');
        const client = createClient(PostService, TRANSPORTS[name](port.url, undefined));
        expect(await failureOf(CALLS[what](client, { 'x-request-id': id }))).toMatchObject({
          code: 'internal',
          message: 'internal error',
          reason: 'INTERNAL',
        });
        const line = await port.log.line({ id });
        expect(line).toMatchObject({ level: 50, code: 'internal' });
        expect(JSON.stringify(line.err)).toMatch(/cannot encode|Invalid time value/);
      },
    );
  });
});

const CALLS = {
  'a call': (client: Client<typeof PostService>, headers: Record<string, string>) => client.getPost({}, { headers }),
  'a stream': async (client: Client<typeof PostService>, headers: Record<string, string>) => {
    for await (const _ of client.watchPosts({}, { headers })) throw new Error('it was written');
  },
};
