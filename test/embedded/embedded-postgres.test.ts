import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { postmasterOf } from '#test/embedded/process-end.ts';
import { query } from '#test/support/query.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

describe('startEmbeddedPostgres', () => {
  const log = pino({ level: 'silent' });
  const settings = { fsync: 'off' };
  let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
  // One folder for all, and one Postgres after the other: making a folder takes a second of CPU.
  beforeAll(async () => {
    folder = await makeTemporaryFolder();
  });
  afterAll(() => folder[Symbol.asyncDispose]());

  it('makes the database postservice on the first start, in UTF-8, sorted by code point', async () => {
    await using postgres = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    const [row] = await query(
      postgres.url,
      `select current_database() as name, current_setting('server_encoding') as encoding,
              (select string_agg(word, '' order by word) from unnest(array['b', 'ä', 'Z', 'a']) word) as sorted`,
    );
    expect(row).toEqual({ name: 'postservice', encoding: 'UTF8', sorted: 'Zabä' });
    expect(postgres.location).toBe(join(folder.path, 'postgres'));
  });

  it('keeps what was written for the next start', async () => {
    {
      await using first = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
      await query(first.url, `create table kept as select 'still here' as words`);
    }
    await using second = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    expect(await query(second.url, 'select words from kept')).toEqual([{ words: 'still here' }]);
  });

  it('listens on the loopback address only, and on no socket of the file system', async () => {
    await using postgres = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    const [row] = await query(
      postgres.url,
      `select current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets`,
    );
    expect(row).toEqual({ addresses: '127.0.0.1', sockets: '' });
  });

  it('lets nobody in without the password', async () => {
    await using postgres = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    const wrong = new URL(postgres.url);
    wrong.password = 'guessed';
    await expect(query(wrong.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
  });

  it('keeps the password and the URL in files that only we can read, and out of the log', async () => {
    const lines: string[] = [];
    const loud = pino({ level: 'trace' }, { write: line => void lines.push(line) });
    await using postgres = await startEmbeddedPostgres({ dataDir: folder.path, log: loud, settings });
    const password = new URL(postgres.url).password;
    for (const [name, content] of [
      ['password', password],
      ['url', postgres.url],
    ] as const) {
      const path = join(postgres.location, name);
      expect(await readFile(path, 'utf8')).toBe(`${content}\n`);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
    }
    expect(lines.join('')).toContain('database system is ready to accept connections');
    expect(lines.join('')).not.toContain(password);
  });

  it('refuses a data folder that a running service uses, and names that one', async () => {
    await using first = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    await expect(startEmbeddedPostgres({ dataDir: folder.path, log, settings })).rejects.toThrow(
      `the embedded Postgres in ${join(first.location, 'data')} is in use by another service (process ${process.pid}): stop that service, or set another DATA_DIR`,
    );
    expect(await query(first.url, 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('lets exactly one of two services that start at the same time have the folder', async () => {
    const both = await Promise.allSettled(
      [1, 2].map(() => startEmbeddedPostgres({ dataDir: folder.path, log, settings })),
    );
    const started = both.filter(result => result.status === 'fulfilled');
    for (const { value } of started) await value[Symbol.asyncDispose]();
    expect(started).toHaveLength(1);
    expect(both.find(result => result.status === 'rejected')?.reason).toMatchObject({
      message: expect.stringContaining('is in use by another service'),
    });
  });

  it('has ended when disposed of', async () => {
    const postgres = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    const pid = await postmasterOf(postgres.location);
    await postgres[Symbol.asyncDispose]();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  it('is in a process group of its own, which Ctrl-C at the terminal does not reach', async () => {
    await using postgres = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    const groupOf = async (pid: number) =>
      (await promisify(execFile)('ps', ['-o', 'pgid=', '-p', `${pid}`])).stdout.trim();
    const ours = await groupOf(process.pid);
    expect(ours).toMatch(/^\d+$/);
    expect(await groupOf(await postmasterOf(postgres.location))).not.toBe(ours);
  });

  it('starts beside a postmaster.pid whose process id another program has got', async () => {
    const first = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    const pidFile = join(first.location, 'data', 'postmaster.pid');
    const text = await readFile(pidFile, 'utf8');
    await first[Symbol.asyncDispose]();
    await writeFile(pidFile, text.replace(/^\d+/, String(process.pid)));
    await using second = await startEmbeddedPostgres({ dataDir: folder.path, log, settings });
    expect(await query(second.url, 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('tells why Postgres does not start', async () => {
    const start = startEmbeddedPostgres({
      dataDir: folder.path,
      log,
      settings: { ...settings, wal_level: 'nonsense' },
    });
    await expect(start).rejects.toThrow(
      /^the embedded Postgres does not start: FATAL: invalid value for parameter "wal_level": "nonsense"; HINT: Available values: .*$/,
    );
  });
});
