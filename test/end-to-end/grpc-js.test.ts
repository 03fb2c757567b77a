import { join } from 'node:path';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lockPosts } from '#test/support/lock-posts.ts';
import { aSlug } from '#test/support/post-builder.ts';
import { failureOf, type RpcFailure } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const ROOT = join(import.meta.dirname, '..', '..');
let service: TestService;
let posts: DynamicClient;
let health: DynamicClient;

beforeAll(async () => {
  service = await startTestService();
  const definition = await protoLoader.load(['blog/v1/post_service.proto', 'grpc/health/v1/health.proto'], {
    includeDirs: [join(ROOT, 'proto'), join(ROOT, 'vendor')],
    keepCase: true,
    defaults: true,
    longs: String,
    enums: String,
    oneofs: true,
  });
  const clientOf = (name: string) => {
    const Client = grpc.makeGenericClientConstructor(definition[name] as grpc.ServiceDefinition, name);
    return new Client(new URL(service.url).host, grpc.credentials.createInsecure()) as DynamicClient;
  };
  posts = clientOf('blog.v1.PostService');
  health = clientOf('grpc.health.v1.Health');
});
afterAll(async () => {
  posts?.close();
  health?.close();
  await service?.[Symbol.asyncDispose]();
});

/** A client whose methods are those of the .proto. */
type DynamicClient = grpc.Client &
  Record<string, (...args: unknown[]) => grpc.ClientUnaryCall & grpc.ClientReadableStream<Message>>;
// biome-ignore lint/suspicious/noExplicitAny: a client without generated code has no types of messages.
type Message = any;

/** Calls a method, and resolves with the answer and the metadata before it. */
function call(
  client: DynamicClient,
  method: string,
  request: unknown,
  metadata = new grpc.Metadata(),
  options: grpc.CallOptions = {},
): Promise<{ answer: Message; head: grpc.Metadata; trailer: grpc.Metadata }> {
  return new Promise((resolve, reject) => {
    let head: grpc.Metadata;
    let answer: Message;
    const running = client[method]?.(
      request,
      metadata,
      options,
      (error: grpc.ServiceError | null, message: Message) => {
        if (error !== null) reject(error);
        answer = message;
      },
    );
    running?.on('metadata', received => {
      head = received;
    });
    running?.on('status', ({ code, metadata: trailer }) => {
      if (code === grpc.status.OK) resolve({ answer, head, trailer });
    });
  });
}
const errorOf = (failing: Promise<unknown>) =>
  failing.then(
    () => expect.unreachable('the call succeeded'),
    (error: grpc.ServiceError) => error,
  );

/** What the status of a failed call says besides its code and message. */
async function detailsOf(error: grpc.ServiceError): Promise<RpcFailure> {
  const [status] = error.metadata.get('grpc-status-details-bin') as Buffer[];
  const headers = { 'grpc-status': String(error.code), 'grpc-status-details-bin': status?.toString('base64') ?? '' };
  const failure = await failureOf(Promise.reject(findTrailerError(new Headers(headers))));
  expect(failure.message).toBe(error.details);
  return failure;
}

describe('the official grpc-js client', () => {
  it('lives the life of a post', async () => {
    const [slug, author] = [aSlug(), uuidv7()];
    const post = { title: 'Ünï ☃ 😀', slug, author, content: 'x'.repeat(100_000), tags: ['a'] };
    const { answer: created } = await call(posts, 'CreatePost', { post });
    expect(created.post).toMatchObject(post);
    const { id, etag } = created.post;
    expect((await call(posts, 'GetPost', { slug })).answer).toEqual(created);
    expect((await call(posts, 'BatchGetPosts', { ids: [id] })).answer.posts).toEqual([created.post]);
    expect((await call(posts, 'ListPosts', { author, view: 'POST_VIEW_FULL' })).answer.posts).toEqual([created.post]);
    const update = { post: { id, etag, title: 'Updated' }, update_mask: { paths: ['title'] } };
    expect((await call(posts, 'UpdatePost', update)).answer.post).toMatchObject({ title: 'Updated', tags: ['a'] });
    expect((await call(posts, 'DeletePost', { id })).answer.post.delete_time).not.toBeNull();
    expect((await call(posts, 'UndeletePost', { id })).answer.post).toMatchObject({ id, delete_time: null });
    const batch = { requests: [{ post: { title: author } }] };
    expect((await call(posts, 'BatchCreatePosts', batch)).answer.posts).toMatchObject([{ slug: author }]);
  });

  it('gets the details of an error in the status', async () => {
    const id = uuidv7();
    const error = await errorOf(call(posts, 'GetPost', { id }));
    expect(error).toMatchObject({ code: grpc.status.NOT_FOUND, details: `no post '${id}'` });
    expect(await detailsOf(error)).toMatchObject({
      code: 'not_found',
      reason: 'POST_NOT_FOUND',
      metadata: { post: id },
      posts: [id],
    });
  });

  it('gets the fields that break a rule, and text from beyond ASCII', async () => {
    const error = await errorOf(call(posts, 'ListPosts', { page_size: -1 }));
    expect(error.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(await detailsOf(error)).toMatchObject({ fields: ['page_size'] });
    const notFound = await errorOf(call(posts, 'GetPost', { slug: 'ünï ☃ %41, 100% + &' }));
    expect(notFound.details).toBe("no post 'ünï ☃ %41, 100% + &'");
  });

  it('sends metadata, and gets metadata', async () => {
    const metadata = new grpc.Metadata();
    metadata.set('x-request-id', 'from-grpc-js-1');
    const { head } = await call(posts, 'ListPosts', {}, metadata);
    expect(head.get('x-request-id')).toEqual(['from-grpc-js-1']);
    expect(await service.log.line({ id: 'from-grpc-js-1' })).toMatchObject({
      protocol: 'grpc',
      procedure: 'blog.v1.PostService/ListPosts',
      code: 'ok',
      userAgent: expect.stringContaining('grpc-node-js'),
    });
  });

  it('has its deadline kept, by the server too', async () => {
    const metadata = new grpc.Metadata();
    metadata.set('x-request-id', 'deadline-1');
    await using _lock = await lockPosts(service.databaseUrl);
    const options = { deadline: Date.now() + 100 };
    const error = await errorOf(call(posts, 'CreatePost', { post: { title: aSlug() } }, metadata, options));
    expect(error.code).toBe(grpc.status.DEADLINE_EXCEEDED);
    // Whoever is first ends the call: the server's timer, or the client's, which cancels.
    expect(['deadline_exceeded', 'canceled']).toContain((await service.log.line({ id: 'deadline-1' })).code);
  });

  it('may cancel a call', async () => {
    const metadata = new grpc.Metadata();
    metadata.set('x-request-id', 'cancel-1');
    await using _lock = await lockPosts(service.databaseUrl);
    const ended = new Promise<grpc.ServiceError>(resolve => {
      const running = posts.CreatePost?.({ post: { title: aSlug() } }, metadata, (error: grpc.ServiceError) =>
        resolve(error),
      );
      setImmediate(() => running?.cancel());
    });
    expect((await ended).code).toBe(grpc.status.CANCELLED);
  });

  it('gets UNIMPLEMENTED for a method that does not exist', async () => {
    const unknown = new Promise<grpc.ServiceError | null>(resolve => {
      const id = (bytes: Buffer) => bytes;
      posts.makeUnaryRequest('/blog.v1.PostService/Nonsense', id, id, Buffer.alloc(0), resolve);
    });
    expect((await unknown)?.code).toBe(grpc.status.UNIMPLEMENTED);
  });

  it('sends and gets compressed messages', async () => {
    const options = { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip };
    const Client = grpc.makeGenericClientConstructor({}, '');
    const client = new Client(new URL(service.url).host, grpc.credentials.createInsecure(), options);
    try {
      const method = posts.ListPosts as unknown as grpc.MethodDefinition<Message, Message>;
      const list = new Promise<Message>((resolve, reject) => {
        client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          { author: 'y'.repeat(200) },
          (error, answer) => (error === null ? resolve(answer) : reject(error)),
        );
      });
      expect(await list).toMatchObject({ posts: [] });
    } finally {
      client.close();
    }
  });
});

describe('the official grpc-js client, with the health protocol', () => {
  it.each(['', 'blog.v1.PostService'])('checks %j', async name => {
    expect((await call(health, 'Check', { service: name })).answer).toEqual({ status: 'SERVING' });
  });

  it('gets NOT_FOUND for an unknown service', async () => {
    const error = await errorOf(call(health, 'Check', { service: 'nonsense' }));
    expect(error.code).toBe(grpc.status.NOT_FOUND);
  });

  it('watches, until it cancels', async () => {
    const stream = health.Watch?.({ service: '' });
    const first = await new Promise<Message>(resolve => stream?.once('data', resolve));
    expect(first).toEqual({ status: 'SERVING' });
    const error = new Promise<grpc.ServiceError>(resolve => stream?.once('error', resolve as never));
    stream?.cancel();
    expect((await error).code).toBe(grpc.status.CANCELLED);
  });
});
