import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { takeBaseBackup } from '#test/support/base-backup.ts';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import {
  expectEnded,
  expectExpired,
  expectForgotten,
  expectHits,
  expectRest,
  HistoryClient,
} from '#test/support/parted-history.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startRedis } from '#test/support/redis.ts';
import { startReplica } from '#test/support/replica.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let parts: AsyncDisposableStack;
let primary: PrivatePostgres;
let address: { host: string; port: number };
let proxy: TcpProxy;
let settings: Record<string, string>;

beforeEach(async () => {
  parts = new AsyncDisposableStack();
  primary = parts.use(await startPrivatePostgres());
  address = { host: '127.0.0.1', port: Number(new URL(primary.url).port) };
  proxy = parts.use(await startTcpProxy(address));
  settings = {
    DATABASE_URL: proxy.through(primary.url),
    REDIS_URL: parts.use(await startRedis()).url,
    REDIS_TIMEOUT: '2s',
    PAGE_TOKEN_SECRET: 'a secret of thirty-two characters',
    CACHE_TTL: '1h',
  };
});
afterEach(() => parts[Symbol.asyncDispose]());

const start = async (more = {}): Promise<TestService> => parts.use(await startTestService({ ...settings, ...more }));

describe('A point-in-time recovery behind the same address', () => {
  it('ends what has seen later changes, goes on with what has not, and serves nothing of what was lost', async () => {
    const backup = parts.use(await takeBaseBackup(primary.url));
    const service = await start();
    using client = new HistoryClient(service);
    const kept = await client.remember('Kept');
    await backup.mark('here');
    await client.rename(kept, 'Lost title');
    const lost = await client.remember('Lost');
    await primary.kill();
    const restored = parts.use(await backup.restore('here'));
    address.port = restored.port;
    proxy.reset();
    await expectEnded(client.watch);
    await untilFeedHeard(service);
    await expectForgotten(service, lost, kept);
    // It knows nothing but what the others have left in Redis.
    await expectForgotten(await start(), lost, kept);
    await expectRest(service, kept.resumeToken, []);
    await expectExpired(service, restored.url, lost.resumeToken);
    await expectHits(service, kept.id);
  });
});

describe('An old copy of the files of a server, started in its place', () => {
  it('is on the same timeline, and is another history all the same, for replicas too', async () => {
    const { data_directory: data } = (
      (await query(primary.url, 'show data_directory')) as { data_directory: string }[]
    )[0] ?? { data_directory: '' };
    const first = await startTestService(settings);
    using early = new HistoryClient(first);
    const kept = await early.remember('Kept');
    await first[Symbol.asyncDispose]();
    await primary.stopImmediately();
    await promisify(execFile)('cp', ['-a', data, `${data}-copy`]);
    await primary.start();
    const replica = parts.use(await startReplica(primary.url));
    const service = await start({ DATABASE_REPLICA_URLS: replica.url, CACHE_NEAR_BYTES: '0B' });
    const cached = await start();
    using client = new HistoryClient(cached, kept.resumeToken);
    await client.rename(kept, 'Lost title');
    const lost = await client.remember('Lost');
    await replica.catchUp();
    await primary.stopImmediately();
    await promisify(execFile)('/bin/sh', ['-ec', `mv '${data}' '${data}-lost'; mv '${data}-copy' '${data}'`]);
    await primary.start();
    await expectEnded(client.watch);
    for (const each of [service, cached]) await untilFeedHeard(each);
    expect(await query(replica.url, `select title from posts where id = '${lost.id}'`)).toEqual([{ title: 'Lost' }]);
    for (const each of [service, cached]) await expectForgotten(each, lost, kept);
    await expectRest(cached, kept.resumeToken, []);
    await expectExpired(cached, primary.url, lost.resumeToken);
    await expectForgotten(service, lost, kept);
    await expectHits(cached, kept.id);
  });
});
