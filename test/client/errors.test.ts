import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import {
  errorInfo,
  fieldViolations,
  preconditionViolations,
  quotaViolations,
  resources,
  retryDelayMs,
} from '#client/errors.ts';
import { createPostClient as createNodeClient } from '#client/node.ts';
import { createGrpcWebPostClient, createPostClient as createWebClient } from '#client/web.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from '#gen/google/rpc/error_details_pb.js';
import { startExamplePostServer } from '#test/client/example-post-server.ts';

const info = { reason: 'POST_NOT_FOUND', domain: 'blog.v1.PostService', metadata: { post: 'absent' } };

describe('errorInfo', () => {
  it.each([
    ['Connect, in Node', (url: string) => createNodeClient(url)],
    ['gRPC-Web, in Node', (url: string) => createNodeClient(url, { protocol: 'grpc-web' })],
    ['Connect, in a browser', (url: string) => createWebClient(url)],
    ['gRPC-Web, in a browser', (url: string) => createGrpcWebPostClient(url)],
  ])('reads what a call over %s brought', async (_, connect) => {
    await using server = await startExamplePostServer({ getPost: () => Promise.reject(withInfo()) });
    const error = await connect(server.url)
      .getPost({ key: { case: 'slug', value: 'absent' } })
      .catch((e: unknown) => e);
    expect(errorInfo(error)).toEqual(info);
  });

  it('reads what a call over gRPC brought', async () => {
    const failing = { getPost: () => Promise.reject(withInfo()) };
    await using server = await startExamplePostServer(failing, { http2: true });
    const posts = createNodeClient(server.url, { protocol: 'grpc' });
    const error = await posts.getPost({ key: { case: 'slug', value: 'absent' } }).catch((e: unknown) => e);
    expect(errorInfo(error)).toEqual(info);
  });

  it.each([new Error('no ConnectError'), new ConnectError('no detail'), 'a string', null, undefined])(
    'is undefined for %s',
    error => {
      expect(errorInfo(error)).toBeUndefined();
    },
  );
});

describe('fieldViolations', () => {
  it('lists the fields that broke a rule', () => {
    const violation = { field: 'post.title', description: 'is too long', reason: 'VALIDATION_FAILED' };
    const error = failure(BadRequestSchema, { fieldViolations: [violation] });
    expect(fieldViolations(error)).toEqual([violation]);
  });

  it('is empty where the error is about no field', () => {
    expect(fieldViolations(new ConnectError('no detail'))).toEqual([]);
  });
});

describe('retryDelayMs', () => {
  it('gives the delay in milliseconds', () => {
    const error = failure(RetryInfoSchema, { retryDelay: { seconds: 2n, nanos: 500_000_000 } });
    expect(retryDelayMs(error)).toBe(2500);
  });

  it('is 0 where a repetition may come at once', () => {
    expect(retryDelayMs(failure(RetryInfoSchema, { retryDelay: {} }))).toBe(0);
  });

  it('is undefined where the server asked for no delay', () => {
    expect(retryDelayMs(new ConnectError('no detail'))).toBeUndefined();
  });
});

describe('resources', () => {
  it('lists every resource that the error names', () => {
    const details = ['a', 'b'].map(resourceName => ({
      desc: ResourceInfoSchema,
      value: { resourceType: 'blog.v1/Post', resourceName, description: 'not found' },
    }));
    const error = new ConnectError('absent', Code.NotFound, undefined, details);
    expect(resources(error)).toEqual([
      { type: 'blog.v1/Post', name: 'a', description: 'not found' },
      { type: 'blog.v1/Post', name: 'b', description: 'not found' },
    ]);
  });
});

describe('preconditionViolations', () => {
  it('lists what had to hold and did not', () => {
    const violation = { type: 'ETAG', subject: 'posts/a', description: 'is not current' };
    expect(preconditionViolations(failure(PreconditionFailureSchema, { violations: [violation] }))).toEqual([
      violation,
    ]);
  });
});

describe('quotaViolations', () => {
  it('lists the limits that were reached', () => {
    const error = failure(QuotaFailureSchema, { violations: [{ subject: 'client:a', description: '100 a second' }] });
    expect(quotaViolations(error)).toEqual([{ type: '', subject: 'client:a', description: '100 a second' }]);
  });
});

function withInfo(): ConnectError {
  return failure(ErrorInfoSchema, info);
}

function failure<D extends DescMessage>(desc: D, value: MessageInitShape<D>): ConnectError {
  return new ConnectError('failed', Code.NotFound, undefined, [{ desc, value: create(desc, value) }]);
}
