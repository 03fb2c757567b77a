import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { openPort } from '#src/http/open-port.ts';
import type { Metrics } from '#src/observability/metrics.ts';

/** By what was looked at, such as `database`: true where it is well; false, or what is wrong in words, where it is not. */
export type Readiness = Readonly<Record<string, boolean | string>>;

export interface AdminServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Asked on each `/readyz`, which is 503 unless all is well. To fail, or to take over 2 s, is not well. */
  readonly readiness: () => Readiness | Promise<Readiness>;
  readonly metrics: Pick<Metrics, 'contentType' | 'render'>;
}

export interface AdminServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
}

/**
 * The operators' port: `/livez` (the process answers), `/readyz` (503 where it should get no calls, with each check) and
 * `/metrics`. It is never to be public: it says what is wrong in words.
 *
 * @throws ListenError where the port can't be opened.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const address = { host: options.host, port: options.port };
  const routes: Readonly<Record<string, (response: ServerResponse) => void | Promise<void>>> = {
    '/livez': response => send(response, 200, 'application/json', '{"status":"ok"}'),
    '/readyz': async response => {
      const checks = await inTime(options.readiness);
      const ready = Object.values(checks).every(check => check === true);
      const body = JSON.stringify({ status: ready ? 'ok' : 'not ready', checks });
      send(response, ready ? 200 : 503, 'application/json', body);
    },
    '/metrics': async response => send(response, 200, options.metrics.contentType, await options.metrics.render()),
  };

  const server = createServer({ headersTimeout: 5_000, requestTimeout: 5_000, connectionsCheckingInterval: 1_000 });
  server.on('request', (request, response) => {
    const path = request.url?.split('?', 1)[0] ?? '';
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    response.on('error', () => {});
    if (route === undefined) {
      const body = JSON.stringify({ message: `nothing is here; there is ${Object.keys(routes).join(', ')}` });
      send(response, 404, 'application/json', body);
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      send(response, 405, 'application/json', '{"message":"use GET"}');
    } else {
      void (async () => route(response))().catch(error => {
        send(response, 500, 'application/json', JSON.stringify({ message: messageOf(error) }));
      });
    }
  });

  const { port, authority } = await openPort(server, { ...address, setting: 'ADMIN_PORT' });
  return {
    port,
    url: `http://${authority}`,
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function inTime(readiness: AdminServerOptions['readiness']): Promise<Readiness> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Readiness>(resolve => {
    const problem = { readiness: `no answer within ${READINESS_TIMEOUT_MS} ms` };
    timer = setTimeout(resolve, READINESS_TIMEOUT_MS, problem);
  });
  try {
    return await Promise.race([readiness(), late]);
  } catch (error) {
    return { readiness: messageOf(error) };
  } finally {
    clearTimeout(timer);
  }
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Orchestrators give a probe a second or more; a database that takes longer is not one to send calls to. */
const READINESS_TIMEOUT_MS = 2_000;
