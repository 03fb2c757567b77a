import { createClient } from '@connectrpc/connect';
import pg from 'pg';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { aPost, aSlug } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { TRANSPORTS, type TransportName } from '#test/support/transports.ts';

let database: TestDatabase;
/** Two instances, which know of each other only through the database. */
let services: TestService[];

beforeAll(async () => {
  database = await createTestDatabase();
  const start = () => startTestService({ DATABASE_URL: database.url });
  services = [await start(), await start()];
});
afterAll(async () => {
  for (const service of services ?? []) await service[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

/** 100 clients: of every kind, each with a transport of its own, half of them of each instance. */
function clients() {
  const names = Object.keys(TRANSPORTS) as TransportName[];
  return Array.from({ length: 100 }, (_, n) => {
    const name = names[Math.floor(n / 2) % names.length] ?? 'gRPC over HTTP/2';
    return createClient(PostService, TRANSPORTS[name](services[n % 2]?.url ?? '', {}));
  });
}
async function rowsBy(author: string): Promise<number> {
  const client = new pg.Client(database.url);
  await client.connect();
  try {
    return (await client.query('select from posts where author = $1', [author])).rowCount ?? 0;
  } finally {
    await client.end();
  }
}
const asText = (value: unknown) =>
  JSON.stringify(value, (_, field) => (typeof field === 'bigint' ? `${field}` : field));

describe('CreatePost with one request_id from 100 callers at once (R25)', () => {
  it('writes one row, and gives one answer', async () => {
    const [author, requestId] = [uuidv7(), uuidv4()];
    const post = { title: author, author, tags: ['a'] };
    const answers = await Promise.all(clients().map(client => client.createPost({ post, requestId })));
    const different = new Set(answers.map(asText)).size;
    const rows = await rowsBy(author);
    console.log(`R25: ${answers.length} callers, 2 instances, one request_id: ${rows} row, ${different} answer`);
    expect(rows).toBe(1);
    expect(different).toBe(1);
  });

  it('lets one payload of two win, and refuses the other to all of its callers', async () => {
    const [author, requestId] = [uuidv7(), uuidv4()];
    const calls = clients().map((client, n) =>
      client.createPost({ post: aPost({ title: `Title ${Math.floor(n / 2) % 2}`, slug: author, author }), requestId }),
    );
    const outcomes = await Promise.allSettled(calls);
    const won = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [asText(outcome.value)] : []));
    const lost = outcomes.flatMap(outcome => (outcome.status === 'rejected' ? [outcome.reason] : []));
    expect(new Set(won).size).toBe(1);
    expect([won.length, lost.length]).toEqual([50, 50]);
    for (const reason of lost) {
      expect(await failureOf(Promise.reject(reason))).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
    }
    expect(await rowsBy(author)).toBe(1);
  });
});

describe('CreatePost with one slug from 100 callers at once', () => {
  it('creates one post, and returns ALREADY_EXISTS to all others', async () => {
    const [author, slug] = [uuidv7(), aSlug()];
    const outcomes = await Promise.allSettled(
      clients().map(client => client.createPost({ post: aPost({ slug, author }) })),
    );
    const lost = outcomes.flatMap(outcome => (outcome.status === 'rejected' ? [outcome.reason] : []));
    expect(lost).toHaveLength(99);
    for (const reason of lost) {
      expect(await failureOf(Promise.reject(reason))).toMatchObject({ code: 'already_exists', reason: 'SLUG_TAKEN' });
    }
    expect(await rowsBy(author)).toBe(1);
  });
});
