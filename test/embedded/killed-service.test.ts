import { mkdir, readdir, watch } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { awaitEnd, postmasterOf } from '#test/embedded/process-end.ts';
import { startServiceProcess } from '#test/embedded/service-process.ts';
import { query } from '#test/support/query.ts';
import { signalWithChildren } from '#test/support/signal-with-children.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

describe('a service that was killed', () => {
  const log = pino({ level: 'silent' });
  const settings = { fsync: 'off' };
  let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
  beforeAll(async () => {
    folder = await makeTemporaryFolder();
  });
  afterAll(() => folder[Symbol.asyncDispose]());

  it('leaves no Postgres behind', async () => {
    await using service = startServiceProcess({ dataDir: folder.path, settings });
    const { location } = await service.outcome;
    const pid = await postmasterOf(String(location));
    await service.kill();
    await awaitEnd(pid);
  });

  it('leaves no Postgres behind while a client is connected', async () => {
    await using service = startServiceProcess({ dataDir: folder.path, settings });
    const { location, url } = await service.outcome;
    const client = new pg.Client(url);
    client.on('error', () => {});
    await client.connect();
    const pid = await postmasterOf(String(location));
    await service.kill();
    await awaitEnd(pid);
  });

  it('leaves no Postgres behind where every process of that was stopped by SIGSTOP', async () => {
    await using service = startServiceProcess({ dataDir: folder.path, settings });
    const { location, url } = await service.outcome;
    const client = new pg.Client(url);
    client.on('error', () => {});
    await client.connect();
    const pid = await postmasterOf(String(location));
    await signalWithChildren(pid, 'SIGSTOP');
    await service.kill();
    await awaitEnd(pid);
  });

  it('lets the next one start at once, with its data', async () => {
    await using service = startServiceProcess({ dataDir: folder.path, settings });
    const { url } = await service.outcome;
    await query(String(url), `create table kept_once as select 'still here' as words`);
    await service.kill();
    await using next = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    expect(await query(next.url, 'select words from kept_once')).toEqual([{ words: 'still here' }]);
  });

  it('lets the next one start when its Postgres was killed with it', async () => {
    await using service = startServiceProcess({ dataDir: folder.path, settings });
    const { location, url } = await service.outcome;
    await query(String(url), `create table kept_twice as select 'still here' as words`);
    process.kill(await postmasterOf(String(location)), 'SIGKILL');
    await service.kill();
    await using next = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    expect(await query(next.url, 'select words from kept_twice')).toEqual([{ words: 'still here' }]);
  });

  it('lets the next one start when it was killed while it set up the data folder', async () => {
    await using fresh = await makeTemporaryFolder();
    const changes = watch(fresh.path);
    await using service = startServiceProcess({ dataDir: fresh.path, settings });
    for await (const { filename } of changes) if (filename?.startsWith('postgres.init-')) break;
    await service.kill();
    expect(await readdir(fresh.path)).not.toContain('postgres');
    // What a power cut left is no other case.
    await mkdir(join(fresh.path, 'postgres.init-999999999', 'data'), { recursive: true });
    await using next = await startEmbeddedPostgres({ dataDir: fresh.path, log, settings });
    expect(await query(next.url, 'select 1 as alive')).toEqual([{ alive: 1 }]);
    expect(await readdir(fresh.path)).toEqual(['postgres']);
  });
});
