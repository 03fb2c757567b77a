import { timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { getHeapSnapshot } from 'node:v8';
import { recordCpuProfile } from '#src/admin/cpu-profile.ts';
import type { Readiness } from '#src/admin/readiness.ts';
import { openPort } from '#src/http/listener/open-port.ts';
import type { Metrics } from '#src/observability/metrics.ts';

export interface AdminServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** The bearer token for everything but probes and metrics. Unset: open on a loopback address, and disabled elsewhere. */
  readonly token: string | undefined;
  readonly readiness: Pick<Readiness, 'report'>;
  /** Whether the start is complete. */
  readonly isStarted: () => boolean;
  readonly metrics: Pick<Metrics, 'render'>;
  readonly logLevel: LogLevelControl;
  /** Reports by path, such as `/poolz`: plain objects, made on request. */
  readonly reports: Readonly<Record<string, () => unknown>>;
}

/** The log level, which can be changed while the service runs. */
export interface LogLevelControl {
  level: string;
  readonly levels: { readonly values: Readonly<Record<string, number>> };
}

export interface AdminServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
}

/**
 * The operators' port. It must never be public, because its answers describe what is wrong.
 *
 * Probes, for anyone: `/livez` (the process answers), `/readyz` (503 if it should get no calls, with each check), `/startupz` (503 until the start
 * is complete). Also for anyone: `/metrics`, with OpenMetrics and exemplars for clients that accept them.
 *
 * For operators: the reports; `/loglevel` (GET, and PUT with `?level=debug`); `/heapsnapshot`, which stops the process while it runs, for
 * seconds with a large heap; `/cpuprofile?seconds=5`. Both files are for the developer tools of Chrome.
 *
 * @throws ListenError if the port cannot be opened.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { readiness, metrics, logLevel, token } = options;
  const isOpen = token === undefined && isLoopback(options.host);
  const probe = { methods: READ, isPublic: true };
  const operator = { methods: READ, isPublic: false };
  const routes: Record<string, Route> = {
    '/livez': { ...probe, serve: (_, response) => sendJson(response, 200, { status: 'ok' }) },
    '/readyz': {
      ...probe,
      serve: async (_, response) => {
        const { isReady, checks } = await readiness.report();
        sendJson(response, isReady ? 200 : 503, { status: isReady ? 'ok' : 'not ready', checks });
      },
    },
    '/startupz': {
      ...probe,
      serve: (_, response) => {
        const isStarted = options.isStarted();
        sendJson(response, isStarted ? 200 : 503, { status: isStarted ? 'ok' : 'starting' });
      },
    },
    '/metrics': {
      ...probe,
      serve: async ({ request }, response) => {
        const { contentType, text } = await metrics.render(request.headers.accept);
        send(response, 200, contentType, text);
      },
    },
    '/loglevel': {
      methods: ['GET', 'HEAD', 'PUT'],
      isPublic: false,
      serve: ({ request, query }, response) => {
        if (request.method === 'PUT') {
          const level = query.get('level') ?? '';
          const known = [...Object.keys(logLevel.levels.values), 'silent'];
          if (!known.includes(level)) {
            sendJson(response, 400, { message: `level: ${JSON.stringify(level)} must be one of ${known.join(', ')}` });
            return;
          }
          logLevel.level = level;
        }
        sendJson(response, 200, { level: logLevel.level });
      },
    },
    '/heapsnapshot': {
      ...operator,
      serve: async (_, response) => {
        response.writeHead(200, { ...HEADERS, ...asFile('heap.heapsnapshot') });
        await pipeline(getHeapSnapshot(), response);
      },
    },
    '/cpuprofile': {
      ...operator,
      serve: async ({ query }, response) => {
        const seconds = Number(query.get('seconds') ?? CPU_PROFILE_SECONDS);
        if (!(seconds > 0 && seconds <= CPU_PROFILE_MAX_SECONDS)) {
          sendJson(response, 400, { message: `seconds: has to be above 0, and ${CPU_PROFILE_MAX_SECONDS} at most` });
          return;
        }
        const gone = new AbortController();
        response.on('close', () => gone.abort());
        const profile = await recordCpuProfile(seconds * 1000, gone.signal);
        response.writeHead(200, { ...HEADERS, ...asFile('cpu.cpuprofile') }).end(JSON.stringify(profile));
      },
    },
  };
  for (const [path, report] of Object.entries(options.reports)) {
    routes[path] = { ...operator, serve: (_, response) => sendJson(response, 200, report()) };
  }

  function refusalFor(request: IncomingMessage, path: string, route: Route | undefined): [number, string] | undefined {
    if (route === undefined) return [404, `nothing is at ${path}; there is ${Object.keys(routes).join(', ')}`];
    if (!route.methods.includes(request.method ?? '')) return [405, `use ${route.methods.join(' or ')}`];
    if (route.isPublic || isOpen) return undefined;
    if (token === undefined)
      return [403, 'this is for operators: set ADMIN_TOKEN, or bind ADMIN_HOST to a loopback address'];
    if (bearsToken(request, token)) return undefined;
    return [401, 'this is for operators: send ADMIN_TOKEN as authorization: Bearer TOKEN'];
  }

  const server = createServer({ headersTimeout: 5_000, requestTimeout: 5_000, connectionsCheckingInterval: 1_000 });
  server.on('request', (request, response) => {
    const [path = '', query] = (request.url ?? '').split('?', 2);
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    response.on('error', () => {});
    const refusal = refusalFor(request, path, route);
    if (refusal !== undefined) {
      const [status, message] = refusal;
      if (status === 405) response.setHeader('allow', route?.methods.join(', ') ?? '');
      if (status === 401) response.setHeader('www-authenticate', 'Bearer');
      sendJson(response, status, { message });
      return;
    }
    void (async () => route?.serve({ request, query: new URLSearchParams(query) }, response))().catch(error => {
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { message: error instanceof Error ? error.message : String(error) });
    });
  });

  const { port, authority } = await openPort(server, {
    host: options.host,
    port: options.port,
    setting: 'ADMIN_PORT',
  });
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

interface Route {
  readonly methods: readonly string[];
  /** Served to anyone, for probes and scrapes. */
  readonly isPublic: boolean;
  readonly serve: (
    asked: { readonly request: IncomingMessage; readonly query: URLSearchParams },
    response: ServerResponse,
  ) => void | Promise<void>;
}

function bearsToken({ headers }: IncomingMessage, token: string): boolean {
  const given = Buffer.from(/^Bearer +(.*)$/i.exec(headers.authorization ?? '')?.[1] ?? '');
  const wanted = Buffer.from(token);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  send(response, status, 'application/json', JSON.stringify(value));
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, {
    ...HEADERS,
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

function asFile(name: string) {
  return { 'content-type': 'application/json', 'content-disposition': `attachment; filename="${name}"` };
}

const READ = ['GET', 'HEAD'];
const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
const CPU_PROFILE_SECONDS = 5;
const CPU_PROFILE_MAX_SECONDS = 60;
