import { randomBytes } from 'node:crypto';
import { chmod, copyFile, lstat, mkdir, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type Account, canEnter } from '#src/embedded/account.ts';
import { EmbeddedPostgresError, type PostgresBinaries, programsIn } from '#src/embedded/binaries.ts';
import type { Logger } from '#src/observability/logger.ts';

/** Where data and programs go that the account could not reach in their own place. Root's own, as are its parents. */
export const SHARED_DIR = '/var/lib/postservice';

/**
 * Decides where the cluster lives: `postgres` in the data folder. Where the account can't get there, as below a home folder of mode 700, it
 * is a symbolic link to a folder of its own under `sharedDir`. The link shows where the data are, and goes with the data folder when that
 * is moved. Where it is deleted, the cluster is a new, empty one.
 *
 * @returns the cluster's folder, which need not exist.
 */
export async function placeCluster(
  dataDir: string,
  account: Account | undefined,
  sharedDir: string,
  log: Logger,
): Promise<string> {
  const place = join(dataDir, 'postgres');
  const existing = await lstat(place).catch(() => undefined);
  if (existing !== undefined) return existing.isSymbolicLink() ? resolve(dataDir, await readlink(place)) : place;
  if (account === undefined || (await canEnter(account, dataDir))) return place;
  await makeSharedDir(sharedDir, account);
  const name = `${basename(dirname(dataDir)) || 'data'}-${randomBytes(4).toString('hex')}`;
  const shared = join(sharedDir, name);
  await symlink(shared, place);
  log.info({ location: shared, link: place }, `user ${account.name} can't reach ${dataDir}: data are kept elsewhere`);
  return shared;
}

/** The programs where the account can run them: their own place, or a copy under `sharedDir`, one for each version. */
export async function placeBinaries(
  binaries: PostgresBinaries,
  account: Account | undefined,
  sharedDir: string,
  log: Logger,
): Promise<PostgresBinaries> {
  if (account === undefined || (await canEnter(account, dirname(binaries.postgres)))) return binaries;
  const copy = join(sharedDir, `postgres-${binaries.version}`);
  if (!(await exists(copy))) {
    log.info({ location: copy }, `user ${account.name} can't reach ${binaries.folder}: Postgres is copied`);
    await makeSharedDir(sharedDir, account);
    const unfinished = `${copy}.copy-${process.pid}-${randomBytes(4).toString('hex')}`;
    await copyTree(binaries.folder, unfinished);
    // Another service may have been faster; its copy is as good.
    await rename(unfinished, copy).catch(() => rm(unfinished, { recursive: true }));
  }
  return { ...binaries, folder: copy, ...programsIn(copy) };
}

async function makeSharedDir(sharedDir: string, account: Account): Promise<void> {
  await makeFolder(sharedDir).catch(cause => {
    throw new EmbeddedPostgresError(
      `user ${account.name}, who runs Postgres, can't reach the service's folders, and ${sharedDir} can't be made (${cause.code}): set DATABASE_URL, or install and keep data (DATA_DIR) where that user can go`,
      { cause },
    );
  });
}

/** Makes a folder that everyone may enter, whatever the umask, as every account has to pass it. */
async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o755);
}

async function copyTree(from: string, to: string): Promise<void> {
  await makeFolder(to);
  for (const entry of await readdir(from)) {
    const source = join(from, entry);
    const target = join(to, entry);
    const found = await stat(source);
    if (found.isDirectory()) {
      await copyTree(source, target);
    } else if (!entry.endsWith('.a')) {
      // Archives for linking (.a) are of no use to a server. A umask of 077 at install time must not hold here.
      await copyFile(source, target);
      await chmod(target, found.mode & 0o100 ? 0o755 : 0o644);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
