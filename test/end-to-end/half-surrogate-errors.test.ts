import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';
import { envelope, sendRawRpc } from '#test/support/raw-rpc.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { ERROR_ENCODINGS, TRANSPORTS } from '#test/support/transports.ts';

const fails = () => {
  throw new ConnectError('cut \ud83d', Code.NotFound);
};

describe.each([
  ['with the fast path', true],
  ['without it', false],
])('an error whose text has half of a surrogate pair, %s', (_, fastPath) => {
  let port: PublicPort;
  beforeAll(async () => {
    port = await openPublicPort({
      fastPath,
      posts: {
        getPost: fails,
        // biome-ignore lint/correctness/useYield: it fails before that.
        async *watchPosts() {
          fails();
        },
      },
    });
  });
  afterAll(() => port[Symbol.asyncDispose]());

  it.each(ERROR_ENCODINGS)(
    'reaches the client, of a call and of a stream, with U+FFFD in its place: %s',
    async name => {
      const client: Client<typeof PostService> = createClient(PostService, TRANSPORTS[name](port.url, undefined));
      const stream = async () => {
        for await (const _ of client.watchPosts({})) throw new Error('it had a message');
      };
      for (const call of [client.getPost({}), stream()]) {
        expect(await failureOf(call)).toMatchObject({ code: 'not_found', message: 'cut \ufffd' });
      }
    },
  );

  it.each([
    ['application/json', 'GetPost'],
    ['application/grpc+json', 'GetPost'],
    ['application/grpc-web+json', 'GetPost'],
    ['application/connect+json', 'WatchPosts'],
    ['application/grpc+json', 'WatchPosts'],
    ['application/grpc-web+json', 'WatchPosts'],
  ])('reaches the client where it quotes the request: %s, %s', async (type, method) => {
    const json = Buffer.from('"\\ud83d"');
    const body = type === 'application/json' ? json : envelope(json);
    const { error } = await sendRawRpc(`${port.url}/blog.v1.PostService/${method}`, type, body);
    const failure = await failureOf(Promise.reject(error));
    expect(failure).toMatchObject({ code: 'invalid_argument', reason: 'MALFORMED_REQUEST' });
    expect(failure.message).toMatch(/\ufffd|half of a surrogate pair/);
  });
});
