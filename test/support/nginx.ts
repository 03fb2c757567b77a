import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { installedProgram } from '#test/support/installed-program.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { untilAccepts } from '#test/support/until-accepts.ts';

/** An NGINX with a cache, in front of a server. It ends with the test process. */
export interface TestNginx extends AsyncDisposable {
  readonly url: string;
}

/**
 * Starts `nginx` on 127.0.0.1 with proxy_cache, as docs/consistency-and-caching.md says. Where it is missing it is installed with apt-get, as root on
 * Debian and its kin. Each answer says in `x-cache-status` where it came from.
 *
 * @param upstream the server's URL.
 */
export async function startNginxCache(upstream: string): Promise<TestNginx> {
  return await startNginx((folder, port) => configOf(folder, port, cacheOf(folder, upstream)));
}

/** The same with grpc_pass over connections that it keeps: HTTP/2 on both sides, in clear text. */
export async function startNginxGrpc(upstream: string): Promise<TestNginx> {
  const { host } = new URL(upstream);
  return await startNginx((folder, port) => configOf(folder, `${port} http2`, grpcTo(host)));
}

async function startNginx(configFor: (folder: string, port: number) => string): Promise<TestNginx> {
  const program = await installedProgram('nginx');
  const folder = await makeTemporaryFolder();
  const port = await findFreePort();
  await mkdir(join(folder.path, 'cache'));
  const config = join(folder.path, 'nginx.conf');
  await writeFile(config, configFor(folder.path, port));
  const nginx = superviseProcess([program, '-c', config, '-p', folder.path, '-e', join(folder.path, 'error.log')], {
    endSignal: 'TERM',
    onLine: () => {},
  });
  const failure = () => new Error('nginx ended before it was ready');
  await untilAccepts(nginx, () => accepts(port), failure);
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      nginx.signal('KILL');
      await nginx.ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

function configOf(folder: string, listen: number | string, served: string): string {
  return `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log; events {}
    http {
      access_log off;
      client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
      ${served.replace('LISTEN', `listen 127.0.0.1:${listen};`)}
    }`;
}

function cacheOf(folder: string, upstream: string): string {
  return `proxy_cache_path ${folder}/cache keys_zone=posts:1m;
      server {
        LISTEN
        location / {
          proxy_pass ${upstream};
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          proxy_cache posts;
          proxy_cache_revalidate on;
          add_header X-Cache-Status $upstream_cache_status always;
        }
      }`;
}

function grpcTo(address: string): string {
  return `upstream posts { server ${address}; keepalive 8; }
      server {
        LISTEN
        location / { grpc_pass grpc://posts; }
      }`;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const accepted = await new Promise<boolean>(resolve => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });
  socket.destroy();
  return accepted;
}
