import { execFile } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { type FullPostgres, startFullPostgres } from '#test/support/full-postgres.ts';
import { aPost } from '#test/support/post-builder.ts';
import { query } from '#test/support/query.ts';
import { ROOT, type Snippet, snippetsOf } from '#test/support/readme.ts';
import { startTestService } from '#test/support/test-service.ts';

const snippets = await snippetsOf('docs/backup.md');
const started = await startFullPostgres({
  archive_mode: 'on',
  archive_command: 'test -d %folder/archive && cp %p %folder/archive/%f',
}).catch((error: Error) => error);
const missing = started instanceof Error ? started.message : undefined;
if (missing !== undefined) console.log(`not run: the commands of docs/backup.md: ${missing}`);

describe.skipIf(missing !== undefined)('docs/backup.md', () => {
  const postgres = started as FullPostgres;
  afterAll(() => postgres[Symbol.asyncDispose]());

  it('has commands that restore what they have saved', async () => {
    await mkdir(join(postgres.folder, 'archive'));
    await chmod(join(postgres.folder, 'archive'), 0o777);
    await migrateToLatest(postgres.url);
    const before = await create('Saved');
    const [dump, restore, base, pointInTime, ...others] = snippets;
    expect(others).toEqual([]);

    await run(dump);
    await run(base);
    const between = await create('Saved by the log');
    const restoreTime = await timeOf(postgres.url);
    await query(postgres.url, 'delete from posts');
    await archiveLog(postgres);

    const restoredUrl = Object.assign(new URL(postgres.url), { pathname: 'posts_restored' }).href;
    expect(await run(restore, { RESTORED_URL: restoredUrl })).toMatch(/^\s+1$/m);
    expect(await idsOf(restoredUrl)).toEqual([before]);
    // The restored database is one that the service takes.
    await create('Later', restoredUrl);

    const port = await findFreePort();
    await run(pointInTime, { RESTORE_TIME: restoreTime }, port);
    const restarted = Object.assign(new URL(postgres.url), { port }).href;
    try {
      expect(await idsOf(restarted)).toEqual([before, between].sort());
    } finally {
      const data = join(postgres.folder, 'restored');
      await shell(`pg_ctl --pgdata=${data} --mode=immediate --wait stop`, {}, postgres.account);
    }
  });

  async function create(title: string, url = postgres.url): Promise<string | undefined> {
    await using service = await startTestService({ DATABASE_URL: url });
    return (await service.client.createPost({ post: aPost({ title }) })).post?.id;
  }

  /** What changes in the text: the folder, which has no place in a test, and the port. */
  async function run(snippet: Snippet | undefined, env: Record<string, string> = {}, port?: number): Promise<string> {
    const text = (snippet?.text ?? '').replaceAll('/var/backups/posts', postgres.folder);
    // Postgres does not run as root, and its files are its own.
    const account = /pg_ctl|pg_basebackup/.test(text) ? postgres.account : undefined;
    const withPort = port === undefined ? text : text.replace('-p 5433', `-p ${port} -k ${postgres.folder}`);
    return shell(withPort, env, account);
  }

  async function shell(text: string, given: Record<string, string>, account: FullPostgres['account']): Promise<string> {
    // biome-ignore lint/style/noProcessEnv: snippets run in the environment of whoever runs the tests.
    const env: NodeJS.ProcessEnv = { ...process.env, ...given, DATABASE_URL: postgres.url };
    env.PAGE_TOKEN_SECRET = 'x'.repeat(32);
    env.PATH = [postgres.bin, dirname(process.execPath), join(ROOT, 'node_modules/.bin'), env.PATH].join(':');
    const as = account === undefined ? { cwd: ROOT } : { cwd: '/', uid: account.uid, gid: account.gid };
    return (await promisify(execFile)('/bin/bash', ['-e', '-o', 'pipefail', '-c', text], { ...as, env })).stdout;
  }
});

async function timeOf(url: string): Promise<string> {
  const [row] = (await query(url, 'select clock_timestamp()::text as now')) as { now: string }[];
  return row?.now ?? '';
}

async function idsOf(url: string): Promise<string[]> {
  return ((await query(url, 'select id from posts order by id')) as { id: string }[]).map(({ id }) => id);
}

/** Ends the piece of the log that is written now, and resolves when it is in the archive. */
async function archiveLog({ url }: FullPostgres): Promise<void> {
  const [piece] = (await query(url, 'select pg_walfile_name(pg_current_wal_insert_lsn()) as name')) as {
    name: string;
  }[];
  await query(url, 'select pg_switch_wal()');
  const isArchived = `select 1 from pg_stat_archiver where last_archived_wal >= '${piece?.name}'`;
  while ((await query(url, isArchived)).length === 0) await turn();
}
