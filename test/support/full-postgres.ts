import { execFile } from 'node:child_process';
import { chown, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Account, chooseAccount } from '#src/embedded/account.ts';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { installedProgram } from '#test/support/installed-program.ts';
import { query } from '#test/support/query.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { untilAccepts } from '#test/support/until-accepts.ts';

/** A Postgres of the system's packages: unlike the npm packages they have pg_dump, pg_basebackup and the others. */
export interface FullPostgres extends AsyncDisposable {
  /** Of an empty database, as a superuser. */
  readonly url: string;
  /** Folder of its programs. */
  readonly bin: string;
  /** Whom it runs as; undefined: as we do. */
  readonly account: Account | undefined;
  /** A folder that this account owns. */
  readonly folder: string;
}

/**
 * Starts one on a free port, with these settings. `%folder` in a setting stands for its folder.
 *
 * @throws where there is none and it can't be installed, with what to install.
 */
export async function startFullPostgres(settings: Readonly<Record<string, string>> = {}): Promise<FullPostgres> {
  const bin = await findFullPostgres();
  await using parts = new AsyncDisposableStack();
  const temporary = parts.use(await makeTemporaryFolder());
  const account = await chooseAccount(temporary.path);
  const folder = join(temporary.path, 'postgres');
  await mkdir(folder);
  if (account !== undefined) await chown(folder, account.uid, account.gid);
  const data = join(folder, 'data');
  const as = { cwd: '/', ...(account && { uid: account.uid, gid: account.gid }) };
  await promisify(execFile)(join(bin, 'initdb'), [...INITDB, '-D', data], as);
  const port = await findFreePort();
  const all = { port, listen_addresses: '127.0.0.1', unix_socket_directories: folder, fsync: 'off', ...settings };
  const flags = Object.entries(all).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`.replaceAll('%folder', folder),
  ]);
  const lines: string[] = [];
  const server = superviseProcess([join(bin, 'postgres'), '-D', data, ...flags], {
    account,
    endSignal: 'INT',
    onLine: line => lines.push(line),
  });
  parts.defer(async () => {
    server.signal('QUIT');
    await server.ended;
  });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const accepts = () =>
    query(url, 'select 1').then(
      () => true,
      () => false,
    );
  await untilAccepts(server, accepts, () => new Error(`Postgres ended before it was ready:\n${lines.join('\n')}`));
  const closing = parts.move();
  return { url, bin, account, folder, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}

/**
 * The folder of the programs of the newest Postgres that the system's packages have. Debian's for users do not have all of them.
 *
 * @throws where there is none and it can't be installed, with what to install.
 */
export async function findFullPostgres(): Promise<string> {
  const found = await newestOfDebian();
  if (found !== undefined) return found;
  const program = await installedProgram('pg_ctlcluster', { debian: 'postgresql' });
  return (await newestOfDebian()) ?? dirname(program);
}

async function newestOfDebian(): Promise<string | undefined> {
  const versions = (await readdir(DEBIAN).catch(() => [])).map(Number).filter(Number.isFinite);
  return versions.length === 0 ? undefined : join(DEBIAN, String(Math.max(...versions)), 'bin');
}

const INITDB = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale', 'C', '--no-sync'];
const DEBIAN = '/usr/lib/postgresql';
