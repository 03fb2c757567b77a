import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import {
  type ClientMemory,
  expectEnded,
  expectExpired,
  expectForgotten,
  expectHits,
  expectRefused,
  expectRest,
  HistoryClient,
} from '#test/support/parted-history.ts';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startRedis } from '#test/support/redis.ts';
import { startReplica, type TestReplica } from '#test/support/replica.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let parts: AsyncDisposableStack;
let first: PrivatePostgres;
let address: { host: string; port: number };
let proxy: TcpProxy;
let settings: Record<string, string>;

beforeEach(async () => {
  parts = new AsyncDisposableStack();
  first = parts.use(await startPrivatePostgres());
  address = { host: '127.0.0.1', port: portOf(first) };
  proxy = parts.use(await startTcpProxy(address));
  settings = {
    DATABASE_URL: proxy.through(first.url),
    REDIS_URL: parts.use(await startRedis()).url,
    REDIS_TIMEOUT: '2s',
    PAGE_TOKEN_SECRET: 'a secret of thirty-two characters',
    CACHE_TTL: '1h',
  };
});
afterEach(() => parts[Symbol.asyncDispose]());

const start = async (more = {}): Promise<TestService> => parts.use(await startTestService({ ...settings, ...more }));
const standbyOf = async ({ url }: { url: string }, port?: number) => parts.use(await startReplica(url, port));

describe('Promotions one after the other', () => {
  it('refuse what has seen changes that any of them has lost, and go on with the rest', async () => {
    const second = await standbyOf(first);
    const service = await start();
    const kept: ClientMemory[] = [];
    const lost: ClientMemory[] = [];
    /** All that this server has but one post goes to the standby, which takes its place. */
    const passOn = async (standby: TestReplica, end: () => Promise<void>) => {
      const client = new HistoryClient(service, kept.at(-1)?.resumeToken);
      kept.push(await client.remember('Kept'));
      await standby.catchUp();
      await standby.kill();
      lost.push(await client.remember('Lost'));
      await end();
      await standby.start();
      await promote(standby);
      await expectEnded(client.watch);
      await untilFeedHeard(service);
    };
    await passOn(second, () => first.stopImmediately());
    const third = await standbyOf(second);
    await passOn(third, () => second.kill());
    // The first one again, at its own address.
    const renewed = await standbyOf(third, portOf(first));
    await passOn(renewed, () => third.kill());
    const fresh = await start();
    for (const [n, gone] of lost.entries())
      for (const each of [service, fresh]) await expectForgotten(each, gone, kept[n] as ClientMemory);
    for (const [n, { resumeToken }] of kept.entries()) {
      const told = kept.slice(n + 1).map(({ id }) => id);
      await expectRest(service, resumeToken, [...told, ...(await createdSince(renewed.url, kept.at(-1)?.id))]);
    }
    for (const { resumeToken } of lost) await expectExpired(service, renewed.url, resumeToken);
    await expectHits(service, kept[0]?.id ?? '');
  });

  it('of two standbys of one server, which have the same timeline, are two histories, for replicas too', async () => {
    const [second, third] = [await standbyOf(first), await standbyOf(first)];
    const service = await start();
    using client = new HistoryClient(service);
    const kept = await client.remember('Kept');
    for (const standby of [second, third]) await standby.catchUp();
    await first.stopImmediately();
    await promote(second);
    const replica = await standbyOf(second);
    const lost = await client.remember('Lost');
    await replica.catchUp();
    await second.kill();
    await promote(third);
    await expectEnded(client.watch);
    const [timelineOfBoth] = await Promise.all(
      [third].map(({ url }) => query(url, 'select timeline from post_changes_history')),
    );
    expect(timelineOfBoth).toEqual([{ timeline: '2' }]);
    const reading = await start({ DATABASE_REPLICA_URLS: replica.url, CACHE_NEAR_BYTES: '0B' });
    await untilFeedHeard(service, reading);
    for (const each of [service, reading]) await expectForgotten(each, lost, kept);
    await reading.log.line({ msg: 'a replica gets no reads for now' });
    await expectForgotten(reading, lost, kept);
    await expectRest(service, kept.resumeToken, []);
    await expectExpired(service, third.url, lost.resumeToken);
  });
});

describe('A primary that runs on when another one was promoted', () => {
  it('and that an instance still has all its connections to, is a history of its own', async () => {
    const second = await standbyOf(first);
    const zombie = await start();
    using client = new HistoryClient(zombie);
    const kept = await client.remember('Kept');
    await second.catchUp();
    await second.promote();
    address.port = portOf(second);
    const service = await start();
    using other = new HistoryClient(service, kept.resumeToken);
    const lost = await client.remember('Written to the old one');
    const won = await other.remember('Written to the new one');
    expect(other.watch.changes.map(({ post }) => post?.id)).toEqual([won.id]);
    await expectRefused(service, lost.resumeToken);
    await expectForgotten(service, lost, kept);
    proxy.reset();
    await expectEnded(client.watch);
    await untilFeedHeard(zombie, service);
    for (const each of [zombie, service]) await expectForgotten(each, lost, kept);
    await expectRest(zombie, kept.resumeToken, [won.id]);
    await expectExpired(service, second.url, lost.resumeToken);
    await expectHits(zombie, won.id);
  });

  it('is left by an instance that is asked to go on with a watch of the new one', async () => {
    const second = await standbyOf(first);
    const zombie = await start();
    using client = new HistoryClient(zombie);
    const kept = await client.remember('Kept');
    await second.catchUp();
    await second.promote();
    address.port = portOf(second);
    const service = await start();
    using other = new HistoryClient(service, kept.resumeToken);
    const won = await other.remember('Written to the new one');
    using moved = new HistoryClient(zombie, won.resumeToken);
    const later = await other.remember('Later');
    await moved.watch.until(({ changes }) => changes.length > 0);
    expect(moved.watch.changes.map(({ post }) => post?.id)).toEqual([later.id]);
    await untilFeedHeard(zombie, service);
    const { post } = await zombie.client.createPost({ post: aPost() });
    expect(await query(second.url, `select 1 as one from posts where id = '${post?.id}'`)).toEqual([{ one: 1 }]);
  });

  it('is left by an instance that is asked for a write to the new one', async () => {
    const second = await standbyOf(first);
    const zombie = await start();
    using client = new HistoryClient(zombie);
    const kept = await client.remember('Kept');
    await second.catchUp();
    await second.promote();
    address.port = portOf(second);
    const service = await start();
    using other = new HistoryClient(service, kept.resumeToken);
    await other.rename(kept, 'Written to the new one');
    const { consistencyToken } = await other.remember('Later');
    const headers = { 'x-consistency-token': consistencyToken };
    const get = () => zombie.client.getPost({ key: { case: 'id', value: kept.id } }, { headers });
    for (;;) {
      const answer = get();
      const read = await answer.catch(() => undefined);
      if (read !== undefined) {
        expect(read.post?.title).toBe('Written to the new one');
        break;
      }
      expect(await failureOf(answer)).toMatchObject({ code: 'unavailable' });
    }
    const { post } = await zombie.client.createPost({ post: aPost() });
    expect(await query(second.url, `select 1 as one from posts where id = '${post?.id}'`)).toEqual([{ one: 1 }]);
  });

  it('and that the address still leads to, answers to tokens of the other one as well as it can', async () => {
    const second = await standbyOf(first);
    const service = await start();
    using client = new HistoryClient(service);
    const kept = await client.remember('Kept');
    await second.catchUp();
    await second.promote();
    const elsewhere = await start({ DATABASE_URL: second.url });
    using other = new HistoryClient(elsewhere, kept.resumeToken);
    const { consistencyToken } = await other.remember('Elsewhere');
    const headers = { 'x-consistency-token': consistencyToken };
    const get = () => service.client.getPost({ key: { case: 'id', value: kept.id } }, { headers });
    await expect
      .poll(() =>
        get().then(
          ({ post }) => post?.title,
          () => undefined,
        ),
      )
      .toBe('Kept');
    await untilFeedHeard(service);
    for (let n = 0; n < 10; n++) expect((await get()).post?.title).toBe('Kept');
  });
});

/** It takes the place of a primary that has ended. */
async function promote(standby: TestReplica): Promise<void> {
  await standby.promote();
  address.port = portOf(standby);
  proxy.reset();
}

/** The posts that were created after this one, in their order. */
async function createdSince(url: string, id = ''): Promise<string[]> {
  const rows = await query(
    url,
    `select post_id from post_changes where id > (select max(id) from post_changes where post_id = '${id}') order by id`,
  );
  return (rows as { post_id: string }[]).map(({ post_id }) => post_id);
}

function portOf({ url }: { readonly url: string }): number {
  return Number(new URL(url).port);
}
