import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { burnIds, NOTHING_FLUSHED } from '#test/support/burn-ids.ts';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const SECRET = 'a secret of thirty-two characters';
const CRASHES = 3;
const READS = 100;

let postgres: PrivatePostgres;
let services: TestService[];

beforeAll(async () => {
  postgres = await startPrivatePostgres({ settings: NOTHING_FLUSHED });
  const settings = { DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: SECRET };
  services = [await startTestService(settings), await startTestService(settings)];
});
afterAll(async () => {
  for (const service of services ?? []) await service[Symbol.asyncDispose]();
  await postgres?.[Symbol.asyncDispose]();
});

describe('Reads after a crash that gives transaction ids out again', () => {
  it('are never stale without a mark, and never with the token of a write', async () => {
    const [reader, writer] = services as [TestService, TestService];
    for (let crash = 0; crash < CRASHES; crash++) {
      const { post } = await writer.client.createPost({ post: aPost() });
      const id = post?.id ?? '';
      await untilFeedHeard(reader, writer);
      await burnIds(postgres.url, 100);
      // Its snapshot has the burnt ids.
      await titleOf(reader, id);
      await titleOf(reader, id);
      await postgres.stopImmediately();
      await postgres.start();
      for (let n = 0; n < READS; n++) {
        const title = `Title ${crash} ${n}`;
        const token = await update(writer, id, title);
        const named = await titleOf(reader, id, { 'x-consistency-token': token });
        expect(named.title).toBe(title);
        const { title: any, isMarked } = await titleOf(reader, id);
        if (!isMarked) expect(any).toBe(title);
      }
      await untilFeedHeard(reader);
      expect(await titleOf(reader, id)).toEqual({ title: `Title ${crash} ${READS - 1}`, isMarked: false });
    }
  });

  it('use what was cached before, where only the connections are lost', async () => {
    const [reader, writer] = services as [TestService, TestService];
    const { post } = await writer.client.createPost({ post: aPost({ title: 'Kept' }) });
    const id = post?.id ?? '';
    await untilFeedHeard(reader);
    await titleOf(reader, id);
    await query(
      postgres.url,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'postservice%'",
    );
    await untilFeedHeard(reader);
    const misses = await count(reader, 'miss');
    expect(await titleOf(reader, id)).toEqual({ title: 'Kept', isMarked: false });
    expect(await count(reader, 'miss')).toBe(misses);
  });
});

async function update(service: TestService, id: string, title: string): Promise<string> {
  let token: string | null = null;
  // The pool may still have a connection to what has crashed.
  while (token === null) {
    const request = { post: { id, title }, updateMask: { paths: ['title'] } };
    await clientOf(service)
      .updatePost(request, { onHeader: fields => (token = fields.get('x-consistency-token')) })
      .catch(() => {});
  }
  return token;
}

async function titleOf(service: TestService, id: string, headers: Record<string, string> = {}) {
  let isMarked = false;
  const onHeader = (fields: Headers) => {
    isMarked = fields.has('cache-status');
  };
  for (;;) {
    const read = clientOf(service).getPost({ key: { case: 'id', value: id } }, { headers, onHeader });
    const { post } = await read.catch(() => ({ post: undefined }));
    if (post !== undefined) return { title: post.title, isMarked };
  }
}

function clientOf({ url }: TestService) {
  return createClient(PostService, createConnectTransport({ baseUrl: url, httpVersion: '1.1' }));
}

async function count(service: TestService, outcome: string): Promise<number> {
  const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
  return Number(
    new RegExp(`^cache_answers_total\\{tier="near",outcome="${outcome}"\\} (\\d+)`, 'm').exec(metrics)?.[1] ?? 0,
  );
}
