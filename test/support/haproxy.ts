import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { installedProgram } from '#test/support/installed-program.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { untilAccepts } from '#test/support/until-accepts.ts';

/** An HAProxy in front of a server. It ends with the test process. */
export interface TestHaproxy extends AsyncDisposable {
  readonly port: number;
  /** In the mode `http` it takes HTTP/1.1, and HTTP/2 with prior knowledge. */
  readonly url: string;
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
  /** Lines of the section `global`; default: HAPROXY_TUNING. */
  readonly tuning?: readonly string[];
}

/**
 * As deploy/haproxy.cfg has it. HAProxy takes from its clients up to twice as many header fields as it can pass on over HTTP/2: 101 by
 * default. For more it resets a stream that it never opened, which ends the connection that its other clients share (RFC 9113, 5.1).
 * With more than fit into its buffer of 16 KiB it never gets there, and the service refuses the request.
 */
export const HAPROXY_TUNING: readonly string[] = ['tune.http.maxhdr 2048'];

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
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      haproxy.signal('KILL');
      await haproxy.ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

function configOf(
  port: number,
  { mode, upstream, serverOptions = '', lines = '', tuning = HAPROXY_TUNING }: HaproxyOptions,
): string {
  return `global
  maxconn 1000
  ${tuning.join('\n  ')}
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
