import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findFreePort } from '#src/embedded/free-port.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { installedProgram } from '#test/support/installed-program.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { untilAccepts } from '#test/support/until-accepts.ts';

/** A HAProxy with one section of its own, in front of a server. It ends with the test process. */
export interface TestHaproxy extends AsyncDisposable {
  readonly port: number;
}

export interface HaproxyOptions {
  /** `tcp` hands on bytes, `http` requests. */
  readonly mode: 'tcp' | 'http';
  /** The port of the server, on 127.0.0.1. */
  readonly upstream: number;
  /** What follows the address in the line `server`, such as `send-proxy-v2`. */
  readonly serverOptions?: string;
  /** More lines of the only `listen` section, such as `option forwardfor`. */
  readonly lines?: string;
}

/**
 * Starts `haproxy` on 127.0.0.1. Where it is missing it is installed with apt-get, as root on Debian and its kin.
 */
export async function startHaproxy(options: HaproxyOptions): Promise<TestHaproxy> {
  const program = await installedProgram('haproxy');
  const folder = await makeTemporaryFolder();
  const port = await findFreePort();
  const config = join(folder.path, 'haproxy.cfg');
  await writeFile(config, configOf(port, options));
  const said: string[] = [];
  const haproxy = superviseProcess([program, '-db', '-f', config], {
    endSignal: 'TERM',
    onLine: line => said.push(line),
  });
  const failure = () => new Error(`haproxy ended before it was ready:\n${said.join('\n')}`);
  await untilAccepts(haproxy, () => accepts(port), failure);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      haproxy.signal('KILL');
      await haproxy.ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

function configOf(port: number, { mode, upstream, serverOptions = '', lines = '' }: HaproxyOptions): string {
  return `global
  maxconn 100
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen service
  bind 127.0.0.1:${port}
  ${lines}
  server service 127.0.0.1:${upstream} ${serverOptions}
`;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const accepted = await new Promise<boolean>(resolve => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });
  socket.destroy();
  return accepted;
}
