import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { type FullCluster, type FullPrograms, fullPrograms } from '#test/support/full-cluster.ts';
import { findFullPostgres } from '#test/support/full-postgres.ts';
import {
  expectEnded,
  expectExpired,
  expectForgotten,
  expectHits,
  expectRest,
  HistoryClient,
} from '#test/support/parted-history.ts';
import { query } from '#test/support/query.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const missing = await findFullPostgres().then(
  () => undefined,
  (error: Error) => error.message,
);
if (missing !== undefined) console.log(`not run: pg_resetwal, pg_upgrade and pg_rewind: ${missing}`);

let parts: AsyncDisposableStack;
let programs: FullPrograms;
let first: FullCluster;
let second: FullCluster;
let address: { host: string; port: number };
let proxy: TcpProxy;
let service: TestService;

describe.skipIf(missing !== undefined)('A cluster that was worked on', () => {
  beforeEach(async () => {
    parts = new AsyncDisposableStack();
    programs = parts.use(await fullPrograms());
    [first, second] = [await programs.cluster('first'), await programs.cluster('second')];
    await first.initdb();
    await first.start();
    await migrateToLatest(first.url);
    address = { host: '127.0.0.1', port: first.port };
    proxy = parts.use(await startTcpProxy(address));
    service = parts.use(await startTestService({ DATABASE_URL: proxy.through(first.url), CACHE_TTL: '1h' }));
  });
  afterEach(() => parts[Symbol.asyncDispose]());

  it('by pg_resetwal, which sets the next id forward, goes on', async () => {
    using client = new HistoryClient(service);
    const before = await client.remember('Before');
    await first.stop('fast');
    await programs.run('pg_resetwal', '-D', first.data, '-x', '20000');
    await first.start();
    await untilFeedHeard(service);
    const after = await client.remember('After');
    expect(client.watch.changes.map(({ post }) => post?.id)).toEqual([before.id, after.id]);
    await expectRest(service, before.resumeToken, [after.id]);
    await expectHits(service, before.id);
  });

  // From one version to the same: the machines of the tests have but one whose package has it.
  it('by pg_upgrade, tells what happens from then on, and refuses older tokens', async () => {
    using client = new HistoryClient(service);
    const kept = await client.remember('Kept');
    await first.stop('fast');
    await second.initdb();
    const folder = await findFullPostgres();
    const folders = ['-b', folder, '-B', folder, '-d', first.data, '-D', second.data];
    await programs.run('pg_upgrade', ...folders, '-U', 'postgres', '-p', `${first.port}`, '-P', `${second.port}`);
    await second.start();
    leadTo(second);
    await expectEnded(client.watch);
    await untilFeedHeard(service);
    using later = new HistoryClient(service);
    const { id } = await later.remember('Later');
    expect(later.watch.changes.map(({ post }) => post?.id)).toEqual([id]);
    await expectExpired(service, second.url, kept.resumeToken);
    await expectHits(service, kept.id);
  });

  it('by pg_rewind, after it wrote on beside its heir, forgets that, and can be promoted again', async () => {
    await programs.run('pg_basebackup', '-c', 'fast', '-D', second.data, '-d', first.url);
    await follow(second, first);
    await second.start();
    using client = new HistoryClient(service);
    const kept = await client.remember('Kept');
    await untilReplayed(first, second);
    await query(second.url, 'select pg_promote()');
    const lost = await client.remember('Lost');
    leadTo(second);
    await expectEnded(client.watch);
    await untilFeedHeard(service);
    await expectForgotten(service, lost, kept);
    using other = new HistoryClient(service, kept.resumeToken);
    const won = await other.remember('Won');
    await first.stop('fast');
    await query(second.url, 'checkpoint');
    await programs.run('pg_rewind', '--target-pgdata', first.data, '--source-server', second.url);
    await follow(first, second);
    await first.start();
    await untilReplayed(second, first);
    await second.stop('immediate');
    await query(first.url, 'select pg_promote()');
    leadTo(first);
    await untilFeedHeard(service);
    const again = await other.remember('Again');
    expect(other.watch.changes.map(({ post }) => post?.id)).toEqual([won.id, again.id]);
    await expectForgotten(service, lost, kept);
    await expectRest(service, kept.resumeToken, [won.id, again.id]);
    await expectExpired(service, first.url, lost.resumeToken);
  });
});

function leadTo({ port }: FullCluster): void {
  address.port = port;
  proxy.reset();
}

async function follow(standby: FullCluster, primary: FullCluster): Promise<void> {
  await appendFile(join(standby.data, 'postgresql.auto.conf'), `primary_conninfo = '${primary.url}'\n`);
  await writeFile(join(standby.data, 'standby.signal'), '');
}

async function untilReplayed(primary: FullCluster, standby: FullCluster): Promise<void> {
  const [row] = (await query(primary.url, 'select pg_current_wal_insert_lsn()::text as lsn')) as { lsn: string }[];
  const isReplayed = `select 1 where pg_last_wal_replay_lsn() >= '${row?.lsn}'`;
  while ((await query(standby.url, isReplayed)).length === 0) await turn();
}
