import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findFreePort } from '#src/embedded/free-port.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { installedProgram } from '#test/support/installed-program.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { untilAccepts } from '#test/support/until-accepts.ts';

/** An HAProxy that shares its HTTP/2 connections to a server among all its clients. It ends with the test process. */
export interface TestHaproxy extends AsyncDisposable {
  /** Takes HTTP/1.1, and HTTP/2 with prior knowledge. */
  readonly url: string;
}

/**
 * Starts `haproxy` on 127.0.0.1. Where it is missing it is installed with apt-get, as root on Debian and its kin.
 *
 * @param server its address, such as `127.0.0.1:8080`.
 * @param tuning lines of the section `global`; default: as the documentation says.
 */
export async function startHaproxy(server: string, tuning: readonly string[] = HAPROXY_TUNING): Promise<TestHaproxy> {
  const program = await installedProgram('haproxy');
  const folder = await makeTemporaryFolder();
  const port = await findFreePort();
  const config = join(folder.path, 'haproxy.cfg');
  await writeFile(config, configOf(port, server, tuning));
  const haproxy = superviseProcess([program, '-db', '-f', config], { endSignal: 'TERM', onLine: () => {} });
  await untilAccepts(
    haproxy,
    () => accepts(port),
    () => new Error('haproxy ended before it was ready'),
  );
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      haproxy.signal('KILL');
      await haproxy.ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

/**
 * HAProxy takes from its clients up to twice as many header fields as it can pass on over HTTP/2: 101 by default. For more it resets a
 * stream that it never opened, which ends the connection that its other clients share (RFC 9113, 5.1). With more than fit into its
 * buffer of 16 KiB it never gets there, and the service refuses the request.
 */
export const HAPROXY_TUNING: readonly string[] = ['tune.http.maxhdr 2048'];

function configOf(port: number, server: string, tuning: readonly string[]): string {
  return `global
  maxconn 1000
${tuning.map(line => `  ${line}\n`).join('')}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s

listen posts
  bind 127.0.0.1:${port}
  server one ${server} proto h2
`;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const accepted = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return accepted;
}
