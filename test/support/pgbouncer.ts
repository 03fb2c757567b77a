import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { installedProgram } from '#test/support/installed-program.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { untilAccepts } from '#test/support/until-accepts.ts';

/** A PgBouncer in front of a Postgres. It ends with the test process. */
export interface TestPgBouncer extends AsyncDisposable {
  /** Of the same database, through it. */
  readonly url: string;
}

/**
 * Starts `pgbouncer` in transaction mode on 127.0.0.1, with the settings of docs/deployment.md. Where it is missing it is
 * installed with apt-get, as root on Debian and its kin.
 *
 * @param more lines of its settings.
 */
export async function startPgBouncer(databaseUrl: string, more = ''): Promise<TestPgBouncer> {
  const program = await installedProgram('pgbouncer');
  const folder = await makeTemporaryFolder();
  await chmod(folder.path, 0o755);
  const port = await findFreePort();
  const config = join(folder.path, 'pgbouncer.ini');
  await writeFile(config, configOf(new URL(databaseUrl), port) + more);
  const lines: string[] = [];
  const bouncer = superviseProcess([program, config], { endSignal: 'TERM', onLine: line => lines.push(line) });
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${port}`;
  const failure = () => new Error(`pgbouncer ended before it was ready:\n${lines.join('\n')}`);
  await untilAccepts(bouncer, () => accepts(url.href), failure);
  return {
    url: url.href,
    [Symbol.asyncDispose]: async () => {
      bouncer.signal('KILL');
      await bouncer.ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

function configOf({ hostname, port: upstream, username, password }: URL, port: number): string {
  const account = `user=${decodeURIComponent(username)} password=${decodeURIComponent(password)}`;
  return `[databases]
* = host=${hostname} port=${upstream} ${account}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
ignore_startup_parameters = options,statement_timeout,lock_timeout,idle_in_transaction_session_timeout
${process.getuid?.() === 0 ? 'user = nobody' : ''}
`;
}

async function accepts(url: string): Promise<boolean> {
  const client = new pg.Client(url);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}
