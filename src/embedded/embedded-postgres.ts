import { once } from 'node:events';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { chooseAccount } from '#src/embedded/account.ts';
import { findBinaries } from '#src/embedded/binaries.ts';
import { clusterPaths, createCluster, DATABASE, ROLE, readPassword } from '#src/embedded/cluster.ts';
import { PostgresStartError, startPostgresServer } from '#src/embedded/postgres-server.ts';
import { awaitPreviousEnd, ownerOption } from '#src/embedded/previous-postgres.ts';
import { placeBinaries, placeCluster, SHARED_DIR } from '#src/embedded/reachable-place.ts';
import { startRestartedServer } from '#src/embedded/restarted-server.ts';
import type { Logger } from '#src/observability/logger.ts';

/** A running Postgres. Disposing of it stops it and waits for its end, at most 18 s. */
export interface EmbeddedPostgres extends AsyncDisposable {
  /** Has the password in it: never log it. */
  readonly url: string;
  /** The folder of the cluster: `data`, `password`, and the `url` of the last start. */
  readonly location: string;
}

/**
 * Starts the embedded Postgres, and creates its database if there is none yet. Data of an earlier start are kept.
 *
 * It listens on a free port of 127.0.0.1 and requires a generated password. It ends with this process, however that ends. If it ends by
 * itself, it is restarted on the same port. Only one runs on a data folder.
 *
 * @param options.dataDir the data folder, created if missing. It holds the cluster as `postgres`.
 * @param options.settings Postgres settings for this start, such as `{ fsync: 'off' }`; `port` fixes the port.
 * @param options.sharedDir the folder for the cluster and the programs if this process is root and the account of Postgres can't reach
 *   their own folders; default: SHARED_DIR.
 * @throws EmbeddedPostgresError if it can't be set up or started.
 */
export async function startEmbeddedPostgres(options: {
  readonly dataDir: string;
  readonly log: Logger;
  readonly settings?: Readonly<Record<string, string>>;
  readonly sharedDir?: string;
}): Promise<EmbeddedPostgres> {
  const { log, settings = {}, sharedDir = SHARED_DIR } = options;
  const dataDir = resolve(options.dataDir);
  const found = await findBinaries();
  await mkdir(dataDir, { recursive: true });
  const account = await chooseAccount(join(dataDir, 'postgres', 'data'));
  const location = await placeCluster(dataDir, account, sharedDir, log);
  const binaries = await placeBinaries(found, account, sharedDir, log);
  if (!(await exists(location))) {
    log.info({ location, user: account?.name }, 'setting up the embedded Postgres');
    await createCluster(location, { binaries, account, sync: settings.fsync !== 'off' });
  }
  const paths = clusterPaths(location);
  const password = await readPassword(location);
  let port = settings.port;
  const start = async (signal: AbortSignal) => {
    await awaitPreviousEnd(paths.data, log);
    const found = port ?? String(await findFreePort());
    const all = { ...SETTINGS, ...settings, port: found };
    const flags = [ownerOption(process.pid), ...Object.entries(all).map(([name, value]) => `${name}=${value}`)];
    const command = [binaries.postgres, '-D', paths.data, ...flags.flatMap(flag => ['-c', flag])];
    const server = await startPostgresServer(command, account, log, signal);
    // The URL is in use from now on, so a restart must keep the port.
    port = found;
    return server;
  };
  const server = await startRestartedServer(signal => retryTransient(() => start(signal), signal), log);
  const url = `postgres://${ROLE}:${password}@127.0.0.1:${port}/${DATABASE}`;
  try {
    await writeForOwner(paths.url, `${url}\n`);
  } catch (error) {
    await server.stop();
    throw error;
  }
  log.info({ location, port: Number(port), user: account?.name }, 'the embedded Postgres accepts connections');
  return { url, location, [Symbol.asyncDispose]: () => server.stop() };
}

/** Finds a free TCP port of 127.0.0.1, for programs that can't pick one. Another program may take it meanwhile. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  // The path of a socket is limited to about 100 characters. That of a data folder is not.
  unix_socket_directories: '',
  // The logger adds the time.
  log_line_prefix: '',
};

/** Retries because another program may take the free port first, and backends of a killed Postgres take a moment to end. */
async function retryTransient<T>(attempt: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let left = 50; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 0 || signal.aborted || !(error instanceof PostgresStartError && error.isTransient)) throw error;
      await delay(100);
    }
  }
}

/** Writes a file that only this user can read. An old one is removed, because it may belong to another account. */
async function writeForOwner(path: string, text: string): Promise<void> {
  await rm(path, { force: true });
  await writeFile(path, text, { mode: 0o600, flag: 'wx' });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
