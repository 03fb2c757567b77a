import { create, type DescMessage, type Message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { errorInfo, fieldViolations } from '#client/errors.ts';
import { createPostClient as createNodeClient } from '#client/node.ts';
import { createPostValidator, validationInterceptor } from '#client/validate.ts';
import { createPostClient as createWebClient } from '#client/web.ts';
import * as full from '#gen/blog/v1/post_service_pb.js';
import { HealthCheckRequestSchema } from '#gen/grpc/health/v1/health_pb.js';
import { PostSchema } from '#gen/web/blog/v1/post_pb.js';
import * as slim from '#gen/web/blog/v1/post_service_pb.js';
import { RequestValidator } from '#src/rpc/validation.ts';
import { startExamplePostServer } from '#test/client/example-post-server.ts';

const uuid = '019a8f3c-5b7e-7c1a-9d2e-0f4b6a8c1d3e';
const badIdRequest = { key: { case: 'id', value: 'no-uuid' } } as const;

const refused = [
  ['an id that is no UUID', 'getPost', badIdRequest, 'id'],
  ['a request that names no post', 'getPost', {}, 'key'],
  ['a negative page size', 'listPosts', { pageSize: -1 }, 'page_size'],
  ['101 ids', 'batchGetPosts', { ids: Array.from({ length: 101 }, () => uuid) }, 'ids'],
  [
    'a tag too many characters long',
    'createPost',
    { post: { title: 'A', tags: ['ok', 'x'.repeat(65)] } },
    'post.tags[1]',
  ],
] as const;

describe('validationInterceptor', () => {
  const clients = { Node: createNodeClient, browsers: createWebClient };
  for (const [platform, createPostClient] of Object.entries(clients)) {
    describe(`in the client for ${platform}`, () => {
      it.each(refused)('refuses %s and sends nothing', async (_, method, request, field) => {
        await using server = await startExamplePostServer();
        const posts = createPostClient(server.url, { interceptors: [validationInterceptor()] });
        const error = await (posts[method] as (request: object) => Promise<never>)(request).catch((e: unknown) => e);
        expect(error).toMatchObject({ code: Code.InvalidArgument });
        expect(errorInfo(error)).toMatchObject({ reason: 'VALIDATION_FAILED', domain: 'blog.v1.PostService' });
        expect(fieldViolations(error).map(violation => violation.field)).toEqual([field]);
        expect(server.requests).toEqual([]);
      });

      it('lets a good request through', async () => {
        await using server = await startExamplePostServer();
        const posts = createPostClient(server.url, { interceptors: [validationInterceptor()] });
        const { post } = await posts.getPost({ key: { case: 'slug', value: 'hello-world' } });
        expect(post?.slug).toBe('hello-world');
      });
    });
  }

  it.each(refused)('gives the error that the service gives for %s', async (_, method, request) => {
    const type: DescMessage = full.PostService.method[method].input;
    const ours = thrownBy(() => new RequestValidator().check(type, create(type, request)));
    const posts = createNodeClient('http://127.0.0.1:9', { interceptors: [validationInterceptor()] });
    const error = await (posts[method] as (request: object) => Promise<never>)(request).catch((e: unknown) => e);
    expect(describeError(error)).toEqual(describeError(ours));
  });
});

describe('createPostValidator', () => {
  const validator = createPostValidator();

  it.each([
    ['with', full.GetPostRequestSchema],
    ['without', slim.GetPostRequestSchema],
  ])('checks messages of the variant %s rules', (_, schema) => {
    const message: Message = create(schema, badIdRequest);
    expect(validator.violations(message)).toMatchObject([{ field: 'id', reason: 'VALIDATION_FAILED' }]);
  });

  it('checks a post by itself, as a form needs', () => {
    const post = create(PostSchema, { title: 'x'.repeat(256), author: 'y'.repeat(256) });
    expect(validator.violations(post).map(violation => violation.field)).toEqual(['title', 'author']);
  });

  it('finds nothing in a good message', () => {
    expect(validator.violations(create(PostSchema, { id: uuid, slug: 'good', title: 'Good' }))).toEqual([]);
  });

  it('finds nothing in a message of another package', () => {
    expect(validator.violations(create(HealthCheckRequestSchema, { service: 'any' }))).toEqual([]);
  });
});

function thrownBy(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

function describeError(error: unknown) {
  if (!(error instanceof ConnectError)) throw new Error('expected a ConnectError', { cause: error });
  return {
    code: error.code,
    message: error.rawMessage,
    types: error.details.map(detail => ('desc' in detail ? detail.desc.typeName : detail.type)),
    info: errorInfo(error),
    violations: fieldViolations(error),
  };
}
