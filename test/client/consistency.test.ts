import { createClient, createRouterTransport, type Interceptor } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readYourWrites } from '#client/consistency.ts';
import * as node from '#client/node.ts';
import * as web from '#client/web.ts';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { aPost } from '#test/support/post-builder.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { startExamplePostServer } from './example-post-server.ts';

const KEY = { case: 'slug', value: 'hello-world' } as const;
let services: TestService[];

beforeAll(async () => {
  const settings = { PAGE_TOKEN_SECRET: 's'.repeat(32) };
  const first = await startTestService(settings);
  services = [first, await startTestService({ ...settings, DATABASE_URL: first.databaseUrl })];
});
afterAll(async () => {
  for (const service of services?.toReversed() ?? []) await service[Symbol.asyncDispose]();
});

describe('readYourWrites', () => {
  it.each([
    ['Node', node.createPostClient],
    ['browser', web.createPostClient],
  ])('gives each read the writes before it, from another instance too (%s)', async (_, createPostClient) => {
    const interceptors = [readYourWrites()];
    const [writer, reader] = services.map(({ url }) => createPostClient(url, { interceptors }));
    const { post } = (await writer?.createPost({ post: aPost() })) ?? {};
    const id = post?.id ?? '';
    for (let n = 0; n < 50; n++) {
      const title = `Title ${n}`;
      await writer?.updatePost({ post: { id, title }, updateMask: { paths: ['title'] } });
      expect((await reader?.getPost({ key: { case: 'id', value: id } }))?.post?.title).toBe(title);
    }
  });

  it('has reads go by POST, past all caches, for as long as it remembers a write', async () => {
    await using server = await startExamplePostServer({
      createPost: (_, { responseHeader }) => {
        responseHeader.set('x-consistency-token', 'token');
        return {};
      },
      getPost: () => ({}),
    });
    for (const [keepMs, method] of [
      [60_000, 'POST'],
      [0, 'GET'],
    ] as const) {
      const posts = node.createPostClient(server.url, { interceptors: [readYourWrites({ keepMs })] });
      await posts.getPost({ key: KEY });
      expect(server.requests.at(-1)?.method).toBe('GET');
      await posts.createPost({});
      await posts.getPost({ key: KEY });
      expect(server.requests.at(-1)?.method).toBe(method);
    }
  });

  it('remembers all of several writes at the same time, and of one after the other the last', async () => {
    const sent: (string | null)[] = [];
    const gates = ['a', 'b', 'c'].map(token => ({ token, ...Promise.withResolvers<void>() }));
    let writes = 0;
    const record: Interceptor = next => async request => {
      if (request.method === PostService.method.getPost) sent.push(request.header.get('x-consistency-token'));
      return next(request);
    };
    const transport = createRouterTransport(
      router =>
        router.service(PostService, {
          getPost: () => ({}),
          createPost: async (_, { responseHeader }) => {
            const gate = gates[writes++];
            await gate?.promise;
            responseHeader.set('x-consistency-token', gate?.token ?? '');
            return {};
          },
        }),
      { transport: { interceptors: [readYourWrites(), record] } },
    );
    const posts = createClient(PostService, transport);
    const together = [posts.createPost({}), posts.createPost({})];
    for (const gate of gates.slice(0, 2)) gate.resolve();
    await Promise.all(together);
    await posts.getPost({});
    gates[2]?.resolve();
    await posts.createPost({});
    await posts.getPost({});
    expect(sent).toEqual(['a,b', 'c']);
  });
});
