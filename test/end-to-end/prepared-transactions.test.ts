import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { purge } from '#src/posts/store/purge-job.ts';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { expectEnded, HistoryClient } from '#test/support/parted-history.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startReplica, type TestReplica } from '#test/support/replica.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let primary: PrivatePostgres;
let standby: TestReplica;
let address: { host: string; port: number };
let proxy: TcpProxy;
let service: TestService;
let db: Database;
const parts = new AsyncDisposableStack();

beforeAll(async () => {
  primary = parts.use(await startPrivatePostgres({ settings: { max_prepared_transactions: '5' } }));
  standby = parts.use(await startReplica(primary.url));
  address = { host: '127.0.0.1', port: Number(new URL(primary.url).port) };
  proxy = parts.use(await startTcpProxy(address));
  const url = proxy.through(primary.url);
  service = parts.use(await startTestService({ DATABASE_URL: url, CACHE_TTL: '1h' }));
  db = createDatabase(new ConnectionPool(url, aDatabaseConfig()));
  parts.defer(() => db.destroy());
});
afterAll(() => parts.disposeAsync());

describe('A post that a prepared transaction has created', () => {
  it.each([
    ['is told by every watch when that is committed', async () => {}],
    [
      'is told when that is committed after a crash',
      async () => {
        await primary.stopImmediately();
        await primary.start();
      },
    ],
    [
      'is told when that is committed after a fail-over',
      async () => {
        await standby.catchUp();
        await primary.stopImmediately();
        await standby.promote();
        address.port = Number(new URL(standby.url).port);
        proxy.reset();
      },
    ],
  ])('%s, and no purge goes by it', async (_case, happens) => {
    using open = new HistoryClient(service);
    await open.watch.until(({ places }) => places.length === 1);
    const begin = open.watch.places[0]?.resumeToken ?? '';
    const late = aNewPost();
    const insert = `insert into posts (id, slug, title, content, author, tags, create_time, update_time)
      values ('${late.id}', '${late.id}', 'Late', '', '', '{}', now(), now())`;
    await query(url(), `begin; ${insert}; prepare transaction 'late'`);
    const first = await open.remember('First');
    const get = () => service.client.getPost({ key: { case: 'id', value: late.id } });
    expect(await failureOf(get())).toMatchObject({ code: 'not_found' });
    await purge(db, { changeRetentionMs: 0 });
    await happens();
    const second = await open.remember('Second');
    await purge(db, { changeRetentionMs: 0 });
    await query(url(), "commit prepared 'late'");
    const told = (client: HistoryClient) => client.watch.changes.map(({ post }) => post?.id);
    await open.watch.until(() => told(open).includes(late.id));
    await untilFeedHeard(service);
    expect((await get()).post?.title).toBe('Late');
    expect(told(open)).toEqual([first.id, second.id, late.id]);
    for (const [token, ids] of [
      [begin, [first.id, second.id, late.id]],
      [first.resumeToken, [second.id, late.id]],
      [second.resumeToken, [late.id]],
    ] as const) {
      using again = new HistoryClient(service, token);
      await again.watch.until(() => told(again).length >= ids.length);
      expect(told(again).toSorted()).toEqual([...ids].toSorted());
    }
    // What nobody waits for any more is removed, and who has not read it is told.
    await purge(db, { changeRetentionMs: 0 });
    // This instance remembers it; another one has to read it.
    await using other = await startTestService({ DATABASE_URL: url() });
    using expired = new HistoryClient(other, begin);
    await expectEnded(expired.watch);
  });
});

function url(): string {
  return proxy.through(primary.url);
}
