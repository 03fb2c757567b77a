import { createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { ERROR_ENCODINGS, TRANSPORTS } from '#test/support/transports.ts';

let postgres: PrivatePostgres;
let service: TestService;

beforeAll(async () => {
  // What is acknowledged must survive, as in production, when the server's processes end.
  postgres = await startPrivatePostgres({ settings: { synchronous_commit: 'on' } });
  service = await startTestService({
    DATABASE_URL: postgres.url,
    DATABASE_ACQUIRE_TIMEOUT: '250ms',
    READINESS_REQUIRES_DATABASE: 'true',
  });
});
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await postgres?.[Symbol.asyncDispose]();
});

const create = async () => (await service.client.createPost({ post: aPost() })).post;

/** Resolves with the first answer; a failure on the way has to be the one that a client may retry. */
async function recovered(): Promise<void> {
  for (;;) {
    const call = create();
    const outcome = await call.catch(() => undefined);
    if (outcome !== undefined) return;
    expect(await failureOf(call)).toMatchObject({ code: 'unavailable', retryDelayMs: 1000 });
  }
}

describe('while Postgres is stopped', () => {
  it('every call fails with UNAVAILABLE, in each encoding, and the service recovers by itself', async () => {
    const before = await create();
    await postgres.stopImmediately();
    for (const name of ERROR_ENCODINGS) {
      const client = createClient(PostService, TRANSPORTS[name](service.url, {}));
      for (const call of [
        () => client.getPost({ key: { case: 'slug', value: 'x' } }),
        () => client.listPosts({}),
        () => client.createPost({ post: aPost() }),
        () => client.batchCreatePosts({ requests: [{ post: aPost() }, { post: aPost() }] }),
        () => client.deletePost({ id: before?.id ?? '' }),
      ]) {
        const failure = await failureOf(call());
        expect(failure).toMatchObject({ code: 'unavailable', reason: 'DATABASE_UNAVAILABLE', retryDelayMs: 1000 });
        expect(failure.message).not.toMatch(/ECONN|127\.0\.0\.1|postgres/i);
      }
    }
    await postgres.start();
    await recovered();
    const { post } = await service.client.getPost({ key: { case: 'id', value: before?.id ?? '' } });
    expect(post).toEqual(before);
  });

  it('says so on the port for operators, and nothing else of the service ends', async () => {
    const ready = async () => (await fetch(`${service.adminUrl}/readyz`)).status;
    expect(await ready()).toBe(200);
    await postgres.stopImmediately();
    expect(await ready()).toBe(503);
    expect((await fetch(`${service.adminUrl}/livez`)).status).toBe(200);
    await postgres.start();
    await recovered();
    expect(await ready()).toBe(200);
  });
});

describe('while Postgres is frozen', () => {
  it('no call outlives its deadline by much, and the service recovers by itself', async () => {
    await Promise.all(Array.from({ length: 10 }, recovered));
    await postgres.freeze();
    const overruns: number[] = [];
    const deadlines = new Map<string, number>();
    const codes = new Set<string>();
    try {
      for (let round = 0; round < 6; round++) {
        const calls = Array.from({ length: 50 }, async (_, n) => {
          const deadlineMs = 50 + (n % 10) * 50;
          const startedAt = performance.now();
          // As a header, so that it is the server who has to keep the deadline, and no timer of the client.
          const id = `frozen-${round}-${n}`;
          deadlines.set(id, deadlineMs);
          const headers = { 'connect-timeout-ms': String(deadlineMs), 'x-request-id': id };
          const call =
            n % 2 === 0
              ? service.client.listPosts({}, { headers })
              : service.client.createPost({ post: aPost() }, { headers });
          const failure = await failureOf(call);
          overruns.push(performance.now() - startedAt - deadlineMs);
          codes.add(`${failure.code} ${failure.reason}`);
        });
        await Promise.all(calls);
      }
    } finally {
      await postgres.thaw();
    }
    for (const id of deadlines.keys()) await service.log.line({ id });
    const atService = service.log.lines
      .filter(({ id }) => deadlines.has(String(id)))
      .map(({ id, durationMs }) => Number(durationMs) - (deadlines.get(String(id)) ?? 0));
    const longest = Math.max(...overruns);
    console.log(
      `frozen Postgres: ${overruns.length} calls outlived their deadlines by ${longest.toFixed(1)} ms at most as the client ` +
        `saw it (on a busy machine), ${Math.max(...atService).toFixed(1)} ms as the service did`,
    );
    expect(codes).toContain('deadline_exceeded DEADLINE_EXCEEDED');
    for (const code of codes) {
      expect(code).toMatch(/^(deadline_exceeded DEADLINE_EXCEEDED|unavailable (DATABASE_UNAVAILABLE|OVERLOADED))$/);
    }
    // Far above what is measured, since the machine may be busy; a call that waits for the database takes for ever.
    expect(longest).toBeLessThan(2000);
    await recovered();
  });
});

describe('where every backend is terminated, again and again', () => {
  it('no write is lost or done twice, and the process lives', async () => {
    const author = 'a ledger';
    const acknowledged = new Set<string>();
    let terminating = true;
    const terminator = (async () => {
      for (let n = 0; n < 6; n++) await postgres.terminateBackends();
      terminating = false;
    })();
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let n = 0; terminating; n++) {
        const title = `${writer}-${n}`;
        const call = service.client.createPost({ post: aPost({ title, author }) });
        const answer = await call.catch(() => undefined);
        if (answer !== undefined) acknowledged.add(title);
        else expect(await failureOf(call)).toMatchObject({ code: 'unavailable' });
      }
    });
    await Promise.all([terminator, ...writers]);
    await recovered();
    const titles: string[] = [];
    for (let pageToken = ''; ; ) {
      const page = await service.client.listPosts({ author, pageSize: 100, pageToken });
      titles.push(...page.posts.map(post => post.title));
      pageToken = page.nextPageToken;
      if (pageToken === '') break;
    }
    expect(new Set(titles).size).toBe(titles.length);
    expect(titles).toEqual(expect.arrayContaining([...acknowledged]));
    expect(acknowledged.size).toBeGreaterThan(0);
  });
});
