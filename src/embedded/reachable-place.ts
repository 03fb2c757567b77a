import { randomBytes } from 'node:crypto';
import { chmod, copyFile, lstat, mkdir, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type Account, canEnter } from '#src/embedded/account.ts';
import { EmbeddedPostgresError, type PostgresBinaries, programsIn } from '#src/embedded/binaries.ts';
import type { Logger } from '#src/observability/logger.ts';

/** Folder for data and programs that the account can't reach in their own folders. It and its parents belong to root. */
export const SHARED_DIR = '/var/lib/postservice';

/**
 * Chooses the folder of the cluster: `postgres` in the data folder. If the account can't enter that, as below a home folder of mode 700,
 * `postgres` is a symbolic link to a folder under `sharedDir`. The link shows where the data are, and moves with the data folder. If
 * it is deleted, the next start creates a new, empty cluster.
 *
 * @returns the folder of the cluster, which need not exist.
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
  log.info(
    { location: shared, link: place },
    `user ${account.name} can't reach ${dataDir}: the data are kept in another folder`,
  );
  return shared;
}

/** Returns programs that the account can run: the installed ones, or a copy under `sharedDir`, one for each version. */
export async function placeBinaries(
  binaries: PostgresBinaries,
  account: Account | undefined,
  sharedDir: string,
  log: Logger,
): Promise<PostgresBinaries> {
  if (account === undefined || (await canEnter(account, dirname(binaries.postgres)))) return binaries;
  const copy = join(sharedDir, `postgres-${binaries.version}`);
  if (!(await exists(copy))) {
    log.info(
      { location: copy },
      `user ${account.name} can't reach ${binaries.folder}: Postgres is copied to another folder`,
    );
    await makeSharedDir(sharedDir, account);
    const unfinished = `${copy}.copy-${process.pid}-${randomBytes(4).toString('hex')}`;
    await copyTree(binaries.folder, unfinished);
    // Another service may have been faster. Its copy is as good.
    await rename(unfinished, copy).catch(() => rm(unfinished, { recursive: true }));
  }
  return { ...binaries, folder: copy, ...programsIn(copy) };
}

async function makeSharedDir(sharedDir: string, account: Account): Promise<void> {
  await makeFolder(sharedDir).catch(cause => {
    throw new EmbeddedPostgresError(
      `user ${account.name}, who runs Postgres, can't reach the service's folders, and ${sharedDir} can't be created (${cause.code}): set DATABASE_URL, or move the service and DATA_DIR where that user can read them`,
      { cause },
    );
  });
}

/** Creates a folder that every account may enter, whatever the umask. */
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
      // A server does not need archives for linking (.a). A umask of 077 at install time must not apply to the copy.
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
