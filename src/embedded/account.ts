import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { EmbeddedPostgresError } from '#src/embedded/binaries.ts';

/** The account of this machine that Postgres runs as. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Chooses the account for Postgres, which refuses to run as root. Returns undefined if this process is not root.
 *
 * Existing data keep their owner. Otherwise it is `postgres`, which system packages create for this, or `nobody`, which every system
 * has. No account is created, because it would outlive the service.
 *
 * @param dataFolder the data folder, which need not exist.
 * @throws EmbeddedPostgresError if none of these accounts exists.
 */
export async function chooseAccount(dataFolder: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = parseAccounts(await readFile('/etc/passwd', 'utf8'));
  const owner = await ownerOf(dataFolder);
  const chosen =
    accounts.find(account => account.uid === owner) ??
    CANDIDATES.map(name => accounts.find(account => account.name === name)).find(account => account !== undefined);
  if (chosen !== undefined && chosen.uid !== 0) return chosen;
  throw new EmbeddedPostgresError(
    `Postgres refuses to run as root, and none of the accounts ${CANDIDATES.join(', ')} exists: start the service as an ordinary user, or set DATABASE_URL`,
  );
}

/** Whether the account may enter the folder. It tries, because modes do not show ACLs and mounts. */
export async function canEnter(account: Account, folder: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const { uid, gid } = account;
  execFile('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { uid, gid, cwd: '/', env: {} }, error => resolve(!error));
  return promise;
}

/** macOS and the BSDs have `_postgres`. */
const CANDIDATES = ['postgres', '_postgres', 'nobody'];

function parseAccounts(passwd: string): Account[] {
  return passwd
    .split('\n')
    .filter(line => line.includes(':') && !line.startsWith('#'))
    .map(line => line.split(':'))
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }));
}

async function ownerOf(folder: string): Promise<number | undefined> {
  return stat(folder).then(
    ({ uid }) => (uid === 0 ? undefined : uid),
    () => undefined,
  );
}
