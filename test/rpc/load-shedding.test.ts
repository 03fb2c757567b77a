import { create } from '@bufbuild/protobuf';
import { createClient, createRouterTransport } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { GetPostResponseSchema, PostService, WatchPostsResponseSchema } from '#gen/blog/v1/post_service_pb.js';
import { Health, HealthCheckResponseSchema } from '#gen/grpc/health/v1/health_pb.js';
import { admission, loadShedding } from '#src/rpc/load-shedding.ts';
import { outcome } from '#src/rpc/outcome.ts';
import { failureOf } from '#test/support/rpc-failure.ts';

/** Calls to a service that is so loaded that only what is critical or more is served. */
function openOverloaded() {
  const shed: string[] = [];
  const shedder = { isShedding: true, admits: (criticality: string) => criticality.startsWith('critical') };
  const options = { exempt: new Set([Health.typeName]), onShed: (criticality: string) => shed.push(criticality) };
  const interceptors = [outcome(), admission(loadShedding(shedder as never, options))];
  const transport = createRouterTransport(
    router => {
      router.service(PostService, {
        getPost: () => create(GetPostResponseSchema),
        async *watchPosts() {
          yield create(WatchPostsResponseSchema, { resumeToken: 'here' });
        },
      });
      router.service(Health, { check: () => create(HealthCheckResponseSchema) });
    },
    { router: { interceptors } },
  );
  return { posts: createClient(PostService, transport), health: createClient(Health, transport), shed };
}

const headers = (criticality: string) => ({ headers: { 'x-criticality': criticality } });

async function firstOf<T>(stream: AsyncIterable<T>): Promise<T | undefined> {
  for await (const message of stream) return message;
  return undefined;
}

describe('A service that is overloaded', () => {
  it('serves what is critical, which is what does not say otherwise', async () => {
    const { posts, shed } = openOverloaded();
    await posts.getPost({});
    await posts.getPost({}, headers('critical-plus'));
    expect((await firstOf(posts.watchPosts({})))?.resumeToken).toBe('here');
    expect(shed).toEqual([]);
  });

  it.each(['sheddable', 'sheddable-plus'])(
    'refuses calls that are %s, and says when to come again',
    async criticality => {
      const { posts, shed } = openOverloaded();
      const refused = { code: 'unavailable', reason: 'OVERLOADED', retryDelayMs: 1000 };
      expect(await failureOf(posts.getPost({}, headers(criticality)))).toMatchObject(refused);
      expect(shed).toEqual([criticality]);
    },
  );

  it('refuses streams in the same way', async () => {
    const { posts, shed } = openOverloaded();
    const refused = { code: 'unavailable', reason: 'OVERLOADED', retryDelayMs: 1000 };
    expect(await failureOf(firstOf(posts.watchPosts({}, headers('sheddable'))))).toMatchObject(refused);
    expect(shed).toEqual(['sheddable']);
  });

  it('answers who asks for its health', async () => {
    const { health, shed } = openOverloaded();
    await health.check({}, headers('sheddable'));
    expect(shed).toEqual([]);
  });
});
