import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { burnIds, NOTHING_FLUSHED } from '#test/support/burn-ids.ts';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import {
  type ClientMemory,
  expectEnded,
  expectExpired,
  expectForgotten,
  expectHits,
  expectRest,
  HistoryClient,
} from '#test/support/parted-history.ts';
import { startPgBouncer } from '#test/support/pgbouncer.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startReplica } from '#test/support/replica.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let parts: AsyncDisposableStack;
let primary: PrivatePostgres;
let address: { host: string; port: number };
let proxy: TcpProxy;
let service: TestService;
let other: TestService;

/** The services keep their connections, to PgBouncer, whatever happens behind it. */
beforeEach(async () => {
  parts = new AsyncDisposableStack();
  primary = parts.use(await startPrivatePostgres({ settings: NOTHING_FLUSHED }));
  address = { host: '127.0.0.1', port: Number(new URL(primary.url).port) };
  proxy = parts.use(await startTcpProxy(address));
  // It tries again sooner than after its 15 s, for the test to be short.
  const { url } = parts.use(await startPgBouncer(proxy.through(primary.url), 'server_login_retry = 0.1\n'));
  const settings = { DATABASE_URL: url, DATABASE_PREPARED_STATEMENTS: 'false', CACHE_TTL: '1h' };
  const secret = { PAGE_TOKEN_SECRET: 'a secret of thirty-two characters' };
  service = parts.use(await startTestService({ ...settings, ...secret }));
  other = parts.use(await startTestService({ ...settings, ...secret }));
});
afterEach(() => parts[Symbol.asyncDispose]());

// PgBouncer may take its time to connect again, where the machine is busy.
describe('Behind PgBouncer', { timeout: 180_000 }, () => {
  it.each([
    ['a crash of Postgres', restart],
    ['a crash of one backend', killBackend],
  ])('%s that gives ids out again costs no change, no watch, and no cached answer its truth', async (_case, crash) => {
    using client = new HistoryClient(service);
    using writer = new HistoryClient(other);
    const post = await client.remember('First');
    const told = [post.id];
    for (let n = 0; n < 3; n++) {
      await untilFeedHeard(service, other);
      const burnt = await burnIds(primary.url, 300);
      await untilFeedHeard(service, other);
      await crash();
      const [row] = (await query(primary.url, 'select pg_current_xact_id()::text as xid')) as { xid: string }[];
      expect(Number(row?.xid)).toBeLessThan(Number(burnt) - 150);
      await untilWritten(writer, post, `Title ${n}`);
      told.push(post.id);
      await client.watch.until(({ changes }) => changes.length === told.length);
      await untilFeedHeard(service);
      const { post: read } = await service.client.getPost({ key: { case: 'id', value: post.id } });
      expect(read?.title).toBe(`Title ${n}`);
    }
    expect(client.watch.changes.map(change => change.post?.title)).toEqual(['First', 'Title 0', 'Title 1', 'Title 2']);
    await expectRest(service, post.resumeToken, told.slice(1));
  });

  it('a fail-over that loses writes ends the watches that have seen them, and leaves nothing of them', async () => {
    const standby = parts.use(await startReplica(primary.url));
    using client = new HistoryClient(service);
    const kept = await client.remember('Kept');
    await standby.catchUp();
    await standby.kill();
    const lost = await client.remember('Lost');
    await primary.stopImmediately();
    await standby.start();
    await standby.promote();
    address.port = Number(new URL(standby.url).port);
    proxy.reset();
    await expectEnded(client.watch);
    await untilFeedHeard(service, other);
    for (const each of [service, other]) await expectForgotten(each, lost, kept);
    await expectRest(service, kept.resumeToken, []);
    await expectExpired(service, standby.url, lost.resumeToken);
    await expectHits(service, kept.id);
  });
});

async function restart(): Promise<void> {
  await primary.stopImmediately();
  await primary.start();
}

/** Postgres ends all others then, and starts anew by itself, as the same process. */
async function killBackend(): Promise<void> {
  const started =
    'select pg_postmaster_start_time()::text as at, (select stats_reset::text from pg_stat_bgwriter) as reset';
  const before = await query(primary.url, started);
  const [row] = (await query(
    primary.url,
    "select pid from pg_stat_activity where application_name like 'postservice%'",
  )) as {
    pid: number;
  }[];
  process.kill(row?.pid ?? 0, 'SIGKILL');
  for (;;) {
    const [now] = await query(primary.url, started).catch(() => []);
    if (now === undefined) continue;
    if ((now as { reset: string }).reset === (before[0] as { reset: string }).reset) continue;
    expect((now as { at: string }).at).toBe((before[0] as { at: string }).at);
    return;
  }
}

async function untilWritten(client: HistoryClient, post: ClientMemory, title: string): Promise<void> {
  while (
    !(await client.rename(post, title).then(
      () => true,
      () => false,
    ))
  );
}
