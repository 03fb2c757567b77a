import { createClient } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { lockPosts, untilSomebodyWaits } from '#test/support/lock-posts.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService } from '#test/support/test-service.ts';
import { ERROR_ENCODINGS, TRANSPORTS } from '#test/support/transports.ts';

describe('a server that shuts down', () => {
  it('lets a call end that runs', async () => {
    await using database = await createTestDatabase();
    await using service = await startTestService({ DATABASE_URL: database.url });
    const lock = await lockPosts(database.url);
    const running = service.client.createPost({ post: aPost({ title: 'last words' }) });
    await untilSomebodyWaits(database.url);
    const closed = service[Symbol.asyncDispose]();
    await lock[Symbol.asyncDispose]();
    await expect(running).resolves.toMatchObject({ post: { title: 'last words' } });
    await closed;
  });

  it.each(ERROR_ENCODINGS)(
    'ends what still runs after the grace with UNAVAILABLE, and the delay after which to try again, through %s',
    async name => {
      await using database = await createTestDatabase();
      const settings = { DATABASE_URL: database.url, SHUTDOWN_GRACE: '1ms', DATABASE_LOCK_TIMEOUT: '1min' };
      await using service = await startTestService(settings);
      await using _lock = await lockPosts(database.url);
      const client = createClient(PostService, TRANSPORTS[name](service.url, {}));
      const running = failureOf(client.createPost({ post: aPost() }));
      await untilSomebodyWaits(database.url);
      await service[Symbol.asyncDispose]();
      expect(await running).toMatchObject({ code: 'unavailable', reason: 'SHUTTING_DOWN', retryDelayMs: 1000 });
    },
  );
});
