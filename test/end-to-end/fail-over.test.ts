import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startReplica, type TestReplica } from '#test/support/replica.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { severalHosts } from '#test/support/several-hosts.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

/** Both have the place of the primary in turns. */
let first: PrivatePostgres;
let second: TestReplica;
let service: TestService;
const parts = new AsyncDisposableStack();

beforeAll(async () => {
  first = parts.use(await startPrivatePostgres({ settings: { synchronous_commit: 'on' } }));
  second = parts.use(await startReplica(first.url));
  service = parts.use(
    await startTestService({
      // The standby comes first.
      DATABASE_URL: severalHosts(second.url, first.url),
      CACHE_NEAR_BYTES: '0B',
    }),
  );
});
afterAll(() => parts.disposeAsync());

const create = async () => (await service.client.createPost({ post: aPost() })).post?.id ?? '';
const get = async (id: string) => (await service.client.getPost({ key: { case: 'id', value: id } })).post?.id;

/** The first post that can be written; each failure on the way must be one of these codes, and UNAVAILABLE say when to retry. */
async function createdAtLast(...codes: string[]): Promise<string> {
  for (;;) {
    const call = create();
    const id = await call.catch(() => undefined);
    if (id !== undefined) return id;
    const { code, retryDelayMs } = await failureOf(call);
    expect(codes).toContain(code);
    if (code === 'unavailable') expect(retryDelayMs).toBe(1000);
  }
}

async function isOn(url: string, id: string): Promise<boolean> {
  return (await query(url, `select 1 from posts where id = '${id}'`)).length === 1;
}

describe('A service that knows the hosts of its database', () => {
  it('goes on with the standby that was promoted, with UNAVAILABLE meanwhile and nothing else', async () => {
    const before = await create();
    await second.catchUp();
    await first.stopImmediately();
    const promotion = second.promote();
    const after = await createdAtLast('unavailable');
    await promotion;
    expect(await isOn(second.url, after)).toBe(true);
    expect([await get(before), await get(after)]).toEqual([before, after]);
  });

  it('goes back, once the first one is the primary again', async () => {
    const renewed = parts.use(await startReplica(second.url, Number(new URL(first.url).port)));
    const before = await create();
    await renewed.catchUp();
    await second.kill();
    const promotion = renewed.promote();
    const after = await createdAtLast('unavailable');
    await promotion;
    expect(await isOn(first.url, after)).toBe(true);
    expect(await get(before)).toBe(before);
  });
});

describe('A primary that freezes and comes back after another one was promoted', () => {
  it('gets no write any more', async () => {
    await using zombie = await startPrivatePostgres({ settings: { synchronous_commit: 'on' } });
    await using heir = await startReplica(zombie.url);
    await using other = await startTestService({
      DATABASE_URL: severalHosts(zombie.url, heir.url),
      DEADLINE_DEFAULT: '2s',
    });
    const shared = service;
    service = other;
    try {
      await create();
      await heir.catchUp();
      await zombie.freeze();
      await heir.promote();
      const after = await createdAtLast('unavailable', 'deadline_exceeded');
      await zombie.thaw();
      const later = await Promise.all(Array.from({ length: 20 }, create));
      for (const id of [after, ...later])
        expect([await isOn(heir.url, id), await isOn(zombie.url, id)]).toEqual([true, false]);
    } finally {
      service = shared;
    }
  });
});
