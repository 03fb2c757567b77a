import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Account } from '#src/embedded/account.ts';
import { EmbeddedPostgresError, type PostgresBinaries } from '#src/embedded/binaries.ts';
import { isRunning } from '#src/embedded/previous-postgres.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';

/** Names of the role, which owns everything, and of the database. */
export const ROLE = 'postservice';
export const DATABASE = 'postservice';

/** The files of a cluster. The service owns its folder; only `data` belongs to the account of Postgres. */
export function clusterPaths(folder: string) {
  return { data: join(folder, 'data'), password: join(folder, 'password'), url: join(folder, 'url') };
}

/**
 * Creates a cluster with one role, a generated password (mode 600) and an empty database. It is built in another folder and renamed, so
 * that a killed start leaves no partial cluster. Text sorts by code point, alike on every machine.
 *
 * @param options.sync false if the files need not survive a power cut.
 * @throws EmbeddedPostgresError with the error of initdb.
 */
export async function createCluster(
  folder: string,
  options: {
    readonly binaries: PostgresBinaries;
    readonly account: Account | undefined;
    readonly sync: boolean;
  },
): Promise<void> {
  const { binaries, account, sync } = options;
  await mkdir(dirname(folder), { recursive: true });
  await removeAbandoned(folder);
  const unfinished = `${folder}.init-${process.pid}`;
  const { data, password } = clusterPaths(unfinished);
  try {
    await mkdir(unfinished);
    // The account must be able to pass this folder, whatever the umask.
    await chmod(unfinished, 0o711);
    await mkdir(data, { mode: 0o700 });
    await writeFile(password, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
    if (account !== undefined) for (const path of [data, password]) await chown(path, account.uid, account.gid);
    const initdb = [binaries.initdb, `--pgdata=${data}`, `--pwfile=${password}`, ...INITDB_OPTIONS];
    await run([...initdb, ...(sync ? [] : ['--no-sync'])], account);
    const single = [binaries.postgres, '--single', ...(sync ? [] : ['-F']), '-D', data, '-c', 'exit_on_error=on'];
    // Renames the empty database of initdb, because creating another would take a tenth of the whole time.
    const takeOver = `echo 'alter database postgres rename to ${DATABASE}' | exec "$@"`;
    await run(['/bin/sh', '-c', takeOver, 'sh', ...single, 'template1'], account);
    if (account !== undefined) await chown(password, 0, 0);
    await rename(unfinished, folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another service that starts at the same time was faster. Its cluster is as good.
    if (isTaken(error)) return;
    throw error;
  }
}

/** Reads the password of the role. */
export async function readPassword(folder: string): Promise<string> {
  return (await readFile(clusterPaths(folder).password, 'utf8')).trim();
}

const INITDB_OPTIONS = [
  `--username=${ROLE}`,
  '--auth=scram-sha-256',
  '--encoding=UTF8',
  '--locale=C',
  '--locale-provider=builtin',
  '--builtin-locale=C.UTF-8',
  '--no-instructions',
];

async function run(command: readonly string[], account: Account | undefined): Promise<void> {
  const lines: string[] = [];
  const code = await superviseProcess(command, { account, endSignal: 'TERM', onLine: line => lines.push(line) }).ended;
  if (code === 0) return;
  const said = lines.filter(line => /error|fatal|panic|denied|not found/i.test(line));
  const reason = (said.length > 0 ? said : lines.slice(-3)).join('; ');
  throw new EmbeddedPostgresError(`the embedded Postgres can't be set up: ${reason || `exit code ${code}`}`);
}

/** Removes partial clusters of killed services. */
async function removeAbandoned(folder: string): Promise<void> {
  const prefix = `${basename(folder)}.init-`;
  for (const entry of await readdir(dirname(folder))) {
    const pid = Number(entry.slice(prefix.length));
    if (!entry.startsWith(prefix) || (pid !== process.pid && (await isRunning(pid)))) continue;
    // Its initdb may still be ending and remove the same files.
    await rm(join(dirname(folder), entry), { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

function isTaken(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOTEMPTY' || code === 'EEXIST';
}
