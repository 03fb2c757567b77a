import { once } from 'node:events';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { join } from 'node:path';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { installedProgram } from '#test/support/installed-program.ts';
import { ROOT } from '#test/support/readme.ts';
import { selfSigned } from '#test/support/self-signed.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { untilAccepts } from '#test/support/until-accepts.ts';

/** A proxy in front of a service. It ends with the test process. */
export interface DeployedProxy extends AsyncDisposable {
  /** With https: a certificate of its own, for `localhost`. */
  readonly url: string;
  readonly ca: string;
}

/** The public port and the port for operators that the proxy leads to. */
export interface Upstream {
  readonly url: string;
  readonly adminUrl: string;
}

/** Runs Debian's nginx with deploy/nginx.conf, in which nothing is changed but addresses and the paths of the certificate. */
export async function startNginx(upstream: Upstream): Promise<DeployedProxy> {
  const program = await installedProgram('nginx');
  return start('nginx.conf', upstream, async (folder, site) => {
    const config = join(folder, 'main.conf');
    const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      name => `${name}_temp_path ${folder}/${name};`,
    );
    await mkdir(join(folder, 'proxy'), { recursive: true });
    await writeFile(
      config,
      `daemon off; master_process off; pid ${folder}/pid; events {} http { access_log off; ${places.join(' ')} include ${site}; }`,
    );
    return [program, '-c', config, '-p', folder, '-e', join(folder, 'error.log')];
  });
}

/** The same for Debian's haproxy and deploy/haproxy.cfg. */
export async function startHaproxy(upstream: Upstream): Promise<DeployedProxy> {
  const program = await installedProgram('haproxy');
  return start('haproxy.cfg', upstream, async (_, site) => [program, '-db', '-f', site]);
}

async function start(
  file: string,
  upstream: Upstream,
  commandOf: (folder: string, site: string) => Promise<readonly string[]>,
): Promise<DeployedProxy> {
  const folder = await makeTemporaryFolder();
  const port = await findFreePort();
  const { cert, key } = selfSigned();
  const paths = { cert: join(folder.path, 'cert'), key: join(folder.path, 'key'), both: join(folder.path, 'both') };
  await Promise.all([writeFile(paths.cert, cert), writeFile(paths.key, key), writeFile(paths.both, cert + key)]);
  const site = join(folder.path, file);
  const changed = (await readFile(join(ROOT, 'deploy', file), 'utf8'))
    .replaceAll('127.0.0.1:8080', new URL(upstream.url).host)
    .replace('port 9090', `port ${new URL(upstream.adminUrl).port}`)
    .replace(/(listen |bind :)443/, (_, word) =>
      word === 'listen ' ? `listen 127.0.0.1:${port}` : `bind 127.0.0.1:${port}`,
    )
    .replace('/etc/ssl/postservice.crt', paths.cert)
    .replace('/etc/ssl/postservice.key', paths.key)
    .replace('/etc/haproxy/postservice.pem', paths.both)
    .replace('posts.example.com', 'localhost');
  await writeFile(site, changed);
  await chmod(site, 0o644);
  const lines: string[] = [];
  const proxy = superviseProcess(await commandOf(folder.path, site), {
    endSignal: 'TERM',
    onLine: line => lines.push(line),
  });
  await untilAccepts(
    proxy,
    () => leadsToService(port),
    () => new Error(`${file}: it ended before it was ready: ${lines.join('\n')}`),
  );
  return {
    url: `https://localhost:${port}`,
    ca: cert,
    [Symbol.asyncDispose]: async () => {
      proxy.signal('KILL');
      await proxy.ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Whether the proxy takes connections and finds the service behind it: HAProxy does after its first check. */
async function leadsToService(port: number): Promise<boolean> {
  // Any answer will do but the 503 that HAProxy gives; a server of HTTP/2 alone would leave one over HTTP/1.1 unanswered.
  const headers = { 'content-type': 'application/grpc' };
  const asked = get({ port, host: 'localhost', headers, rejectUnauthorized: false });
  try {
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    response.destroy();
    return response.statusCode !== 503;
  } catch {
    return false;
  }
}
