import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as node from '#client/node.ts';
import * as web from '#client/web.ts';
import { PostView, PublishState } from '#gen/blog/v1/post_pb.js';
import {
  GetPostRequestSchema,
  type ListPostsRequest,
  ListPostsRequestSchema,
  PostService,
} from '#gen/blog/v1/post_service_pb.js';
import { type ExamplePostServer, startExamplePostServer } from '#test/client/example-post-server.ts';
import { readGoClients } from '#test/support/go-clients.ts';
import { aPost } from '#test/support/post-builder.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

/** Every way to make a client that sends reads by GET, as it is by default but for the format. */
const CLIENTS = [
  { name: 'Node, binary', json: false, clientOf: url => node.createPostClient(url) },
  { name: 'Node, JSON', json: true, clientOf: url => node.createPostClient(url, { useBinaryFormat: false }) },
  { name: 'Node, HTTP/2', json: false, http2: true, clientOf: url => node.createPostClient(url, { httpVersion: '2' }) },
  { name: 'browser, JSON', json: true, clientOf: url => web.createPostClient(url) },
  { name: 'browser, binary', json: false, clientOf: url => web.createPostClient(url, { useBinaryFormat: true }) },
] as const satisfies {
  readonly name: string;
  readonly json: boolean;
  readonly http2?: boolean;
  readonly clientOf: (url: string) => node.PostClient;
}[];

/** What the recorded clients in Go asked for. */
const AWKWARD = {
  pageSize: 20,
  skip: 5,
  orderBy: 'create_time desc',
  view: PostView.FULL,
  author: "Zoë O'Hara (née <B&B>) ☃😀*!~-_.+/=%20",
  tag: 'a"b\\c\td\x7f',
  showDeleted: true,
} satisfies MessageInitShape<typeof ListPostsRequestSchema>;
const IDS = ['0198a6f0-0000-7000-8000-000000000001', '0198a6f0-0000-7000-8000-000000000002'];

const parts = new AsyncDisposableStack();
let service: TestService;
let http1: ExamplePostServer;
let http2: ExamplePostServer;
let seen: ListPostsRequest | undefined;

beforeAll(async () => {
  const echo = {
    getPost: ({ key }) => ({ post: { slug: key.value ?? '' } }),
    batchGetPosts: () => ({}),
    listPosts: request => {
      seen = request;
      return {};
    },
  } satisfies Parameters<typeof startExamplePostServer>[0];
  service = parts.use(await startTestService());
  http1 = parts.use(await startExamplePostServer(echo));
  http2 = parts.use(await startExamplePostServer(echo, { http2: true }));
});
afterAll(() => parts.disposeAsync());

describe.each(CLIENTS)('createPostClient ($name)', ({ json, clientOf, ...options }) => {
  const server = () => ('http2' in options ? http2 : http1);
  /** The last request that came in. */
  const received = () => server().requests.at(-1);

  it('asks for what connect-go asks for with the same URL', async () => {
    const posts = clientOf(server().url);
    const urls: (string | undefined)[] = [];
    for (const read of [
      () => posts.getPost({ key: { case: 'slug', value: 'hello-world' } }),
      () => posts.batchGetPosts({ ids: IDS }),
      () => posts.listPosts(AWKWARD),
      () => posts.listPosts({}),
    ]) {
      await read();
      urls.push(received()?.url);
    }
    const name = json ? 'connect-go, HTTP/1.1, JSON, GET' : 'connect-go, HTTP/1.1, GET';
    const recorded = readGoClients()
      .find(client => client.name === name)
      ?.requests.slice(0, 4);
    expect(urls).toEqual(recorded?.map(({ head }) => head?.split(' ')[1]));
  });

  it('gets an answer that caches may keep, with a strong ETag', async () => {
    const { post } = await service.client.createPost({ post: aPost({ title: "It's (new)!" }) });
    let header = new Headers();
    const onHeader = (given: Headers) => {
      header = given;
    };
    const id = `canonical-${post?.id}-${CLIENTS.findIndex(client => client.clientOf === clientOf)}`;
    const headers = { 'x-request-id': id };
    const key = { case: 'slug', value: post?.slug ?? '' } as const;
    const answer = await clientOf(service.url).getPost({ key }, { headers, onHeader });
    expect(answer.post).toMatchObject({ id: post?.id, title: "It's (new)!" });
    expect(header.get('etag')).toMatch(/^"[^"]+"$/);
    expect(header.get('cache-control')).toBe('no-cache');
    expect(await service.log.line({ id })).toMatchObject({ method: 'GET', code: 'ok' });
  });

  it('reads by GET and writes by POST, all unary calls', async () => {
    const posts = clientOf(server().url) as unknown as Record<string, (request: object) => Promise<unknown>>;
    for (const { localName, idempotency, methodKind } of PostService.methods) {
      if (methodKind !== 'unary') continue;
      await posts[localName]?.({}).catch(ConnectError.from);
      const isRead = idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
      expect([localName, received()?.method]).toEqual([localName, isRead ? 'GET' : 'POST']);
    }
  });

  it('asks by POST, for the same, where the URL would be longer than 8 KiB', async () => {
    // Beyond ASCII, so that it has to come through both escapings unharmed.
    const slug = "ü☃😀'() +%".repeat(600);
    const { post } = await clientOf(server().url).getPost({ key: { case: 'slug', value: slug } });
    expect(post?.slug).toBe(slug);
    expect(received()).toMatchObject({
      method: 'POST',
      url: '/blog.v1.PostService/GetPost',
      headers: { 'content-type': json ? 'application/json' : 'application/proto', 'connect-protocol-version': '1' },
    });
  });

  it('keeps to 8 KiB to the byte, which the service takes', async () => {
    const posts = clientOf(service.url);
    let longest = 1;
    while (urlOf(service.url, 'x'.repeat(longest + 1), json).length <= 8192) longest++;
    for (const [length, method] of [
      [longest, 'GET'],
      [longest + 1, 'POST'],
    ] as const) {
      const id = `long-${length}-${CLIENTS.findIndex(client => client.clientOf === clientOf)}`;
      const key = { case: 'slug', value: 'x'.repeat(length) } as const;
      // The word of the service's own validation, and not of its guard.
      const refused = { code: Code.InvalidArgument };
      await expect(posts.getPost({ key }, { headers: { 'x-request-id': id } })).rejects.toMatchObject(refused);
      expect(await service.log.line({ id })).toMatchObject({ method });
    }
  });
});

describe('createPostClient', () => {
  it.each(['1.1', '2'] as const)('never asks by GET with useHttpGet off, over HTTP/%s', async httpVersion => {
    const server = httpVersion === '2' ? http2 : http1;
    await node.createPostClient(server.url, { httpVersion, useHttpGet: false }).listPosts({});
    expect(server.requests.at(-1)?.method).toBe('POST');
  });

  it('never asks by GET with useHttpGet off, in a browser', async () => {
    await web.createPostClient(http1.url, { useHttpGet: false }).listPosts({});
    expect(http1.requests.at(-1)?.method).toBe('POST');
  });

  it('sends equal requests with equal URLs, from every client, however they were made', async () => {
    const all = CLIENTS.map(client => {
      const server = 'http2' in client ? http2 : http1;
      return { ...client, server, posts: client.clientOf(server.url) };
    });
    const byFormat = [all.filter(({ json }) => json), all.filter(({ json }) => !json)];
    await fc.assert(
      fc.asyncProperty(listRequest(), fc.infiniteStream(fc.nat()), async (fields, random) => {
        const shuffled = Object.fromEntries(
          Object.entries(fields)
            .map(entry => [random.next().value as number, entry] as const)
            .sort(([a], [b]) => a - b)
            .map(([, entry]) => entry),
        );
        const message = create(ListPostsRequestSchema, fields);
        const parsed = fromBinary(ListPostsRequestSchema, toBinary(ListPostsRequestSchema, message));
        for (const clients of byFormat) {
          const urls = new Set<string | undefined>();
          for (const { posts, server } of clients) {
            for (const request of [shuffled, message, parsed]) {
              await posts.listPosts(request);
              expect(seen).toEqual(message);
              urls.add(server.requests.at(-1)?.url);
            }
          }
          expect([...urls]).toHaveLength(1);
        }
      }),
      { numRuns: 20 },
    );
  });
});

/** The canonical URL of GetPost by a slug that needs no escape. */
function urlOf(baseUrl: string, slug: string, json: boolean): string {
  const message = json
    ? encodeURIComponent(JSON.stringify({ slug }))
    : Buffer.from(
        toBinary(GetPostRequestSchema, create(GetPostRequestSchema, { key: { case: 'slug', value: slug } })),
      ).toString('base64url');
  const query = json ? 'connect=v1&encoding=json' : 'base64=1&connect=v1&encoding=proto';
  return `${baseUrl}/blog.v1.PostService/GetPost?${query}&message=${message}`;
}

/** The fields of a request, some at their defaults, and each sometimes not there. */
function listRequest() {
  const text = fc.string({ unit: 'binary', maxLength: 40 });
  return fc.record(
    {
      pageSize: fc.nat(2 ** 31 - 1),
      pageToken: text,
      skip: fc.nat(3),
      orderBy: fc.constantFrom('', 'create_time', "it's (odd) * ! + / ="),
      view: fc.constantFrom(PostView.UNSPECIFIED, PostView.BASIC, PostView.FULL),
      author: text,
      tag: text,
      publishState: fc.constantFrom(PublishState.UNSPECIFIED, PublishState.PUBLISHED),
      showDeleted: fc.boolean(),
    },
    { requiredKeys: [] },
  );
}
