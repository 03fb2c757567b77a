import { describe, expect, it } from 'vitest';
import { type AdminServerOptions, startAdminServer } from '#src/admin/admin-server.ts';
import { Readiness, type ReadinessReport } from '#src/admin/readiness.ts';
import { createLogger } from '#src/observability/logger.ts';
import { createMetrics } from '#src/observability/metrics.ts';
import { LogLines } from '#test/support/log-lines.ts';

type Look = () => ReadinessReport | Promise<ReadinessReport>;

async function start(look: Look = () => READY, options: Partial<AdminServerOptions> = {}) {
  return startAdminServer({
    ...{ host: '127.0.0.1', port: 0, token: undefined, isStarted: () => true },
    readiness: new Readiness(look),
    metrics: createMetrics({ version: '1.2.3' }),
    logLevel: await createLogger({ level: 'info', format: 'json' }, new LogLines()),
    reports: { '/poolz': () => ({ idle: 2 }) },
    ...options,
  });
}

const READY = { isReady: true, checks: { database: true } };
const TOKEN = 'a-token-of-32-characters-or-more';

describe('/livez', () => {
  it('is 200, whether the service is ready or not', async () => {
    await using admin = await start(() => ({ isReady: false, checks: {} }));
    const response = await fetch(`${admin.url}/livez`);
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }]);
  });
});

describe('/readyz', () => {
  it('is 200 with each check where it is ready, also where not all is well', async () => {
    await using admin = await start(async () => ({ isReady: true, checks: { accepting: true, database: false } }));
    const response = await fetch(`${admin.url}/readyz`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'ok', checks: { accepting: true, database: false } });
  });

  it('is 503 with each check where it is not ready', async () => {
    await using admin = await start(() => ({ isReady: false, checks: { accepting: true, database: 'draining' } }));
    const response = await fetch(`${admin.url}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: 'not ready', checks: { accepting: true, database: 'draining' } });
  });

  it('is 503 where the checks fail', async () => {
    await using admin = await start(() => Promise.reject(new Error('no database')));
    const response = await fetch(`${admin.url}/readyz`);
    expect([response.status, await response.json()]).toEqual([
      503,
      { status: 'not ready', checks: { readiness: 'no database' } },
    ]);
  });

  it('is 503 where the checks hang', async () => {
    await using admin = await start(() => new Promise(() => {}));
    expect((await fetch(`${admin.url}/readyz`)).status).toBe(503);
  });

  it('is asked anew each time', async () => {
    let isReady = true;
    await using admin = await start(() => ({ isReady, checks: {} }));
    expect((await fetch(`${admin.url}/readyz`)).status).toBe(200);
    isReady = false;
    expect((await fetch(`${admin.url}/readyz`)).status).toBe(503);
  });
});

describe('/startupz', () => {
  it('is 503 until the start is over', async () => {
    let isStarted = false;
    await using admin = await start(undefined, { isStarted: () => isStarted });
    expect((await fetch(`${admin.url}/startupz`)).status).toBe(503);
    isStarted = true;
    expect((await fetch(`${admin.url}/startupz`)).status).toBe(200);
  });
});

describe('/loglevel', () => {
  it('says the level, and changes it', async () => {
    const logLevel = await createLogger({ level: 'info', format: 'json' }, new LogLines());
    await using admin = await start(undefined, { logLevel });
    expect(await (await fetch(`${admin.url}/loglevel`)).json()).toEqual({ level: 'info' });
    const changed = await fetch(`${admin.url}/loglevel?level=debug`, { method: 'PUT' });
    expect(await changed.json()).toEqual({ level: 'debug' });
    expect(logLevel.isLevelEnabled('debug')).toBe(true);
  });

  it('refuses what is no level, and names those there are', async () => {
    await using admin = await start();
    const response = await fetch(`${admin.url}/loglevel?level=loud`, { method: 'PUT' });
    expect([response.status, await response.json()]).toEqual([
      400,
      { message: 'level: "loud" must be one of trace, debug, info, warn, error, fatal, silent' },
    ]);
  });
});

describe('the reports', () => {
  it('are made when they are asked for', async () => {
    await using admin = await start();
    expect(await (await fetch(`${admin.url}/poolz`)).json()).toEqual({ idle: 2 });
  });
});

describe('/heapsnapshot', () => {
  it('is a file for the developer tools', async () => {
    await using admin = await start();
    const response = await fetch(`${admin.url}/heapsnapshot`);
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="heap.heapsnapshot"');
    expect(await response.json()).toHaveProperty('snapshot.meta.node_fields');
  });
});

describe('/cpuprofile', () => {
  it('is a file for the developer tools, of as long as is asked for', async () => {
    await using admin = await start();
    const response = await fetch(`${admin.url}/cpuprofile?seconds=0.1`);
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="cpu.cpuprofile"');
    const { startTime, endTime } = (await response.json()) as { startTime: number; endTime: number };
    expect(endTime - startTime).toBeGreaterThanOrEqual(99_000);
  });

  it.each(['0', '-1', '61', 'long'])('is refused for %s seconds', async seconds => {
    await using admin = await start();
    const response = await fetch(`${admin.url}/cpuprofile?seconds=${seconds}`);
    expect([response.status, await response.json()]).toEqual([
      400,
      { message: 'seconds: has to be above 0, and 60 at most' },
    ]);
  });
});

describe('who asks', () => {
  const PUBLIC = ['/livez', '/readyz', '/startupz', '/metrics'];
  const OPERATORS = ['/poolz', '/loglevel', '/heapsnapshot', '/cpuprofile'];

  it.each(PUBLIC)('for %s needs no token', async path => {
    await using admin = await start(undefined, { token: TOKEN });
    expect((await fetch(admin.url + path)).status).toBe(200);
  });

  it.each(OPERATORS)('for %s needs the token where there is one', async path => {
    await using admin = await start(undefined, { token: TOKEN });
    const without = await fetch(admin.url + path);
    expect([without.status, without.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    for (const wrong of [`Bearer ${TOKEN}x`, `Basic ${TOKEN}`, 'Bearer', `bearer ${'x'.repeat(TOKEN.length)}`]) {
      expect((await fetch(admin.url + path, { headers: { authorization: wrong } })).status).toBe(401);
    }
  });

  it('with the token gets what operators get', async () => {
    await using admin = await start(undefined, { token: TOKEN });
    const response = await fetch(`${admin.url}/poolz`, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect(response.status).toBe(200);
  });

  it.each(OPERATORS)('for %s gets it on no other address than a loopback one without a token', async path => {
    await using admin = await start(undefined, { host: '0.0.0.0' });
    const response = await fetch(`http://127.0.0.1:${admin.port}${path}`);
    expect([response.status, await response.json()]).toEqual([
      403,
      { message: 'this is for operators: set ADMIN_TOKEN, or bind ADMIN_HOST to a loopback address' },
    ]);
    expect((await fetch(`http://127.0.0.1:${admin.port}/readyz`)).status).toBe(200);
  });
});

describe('/metrics', () => {
  it("has the process's metrics, the build, and what was observed", async () => {
    const metrics = createMetrics({ version: '1.2.3' });
    metrics.rpcEnded('blog.v1.PostService/GetPost', 'grpc', 'ok', 0.004);
    metrics.nonRpcEnded('BAD_HOST', 400);
    await using admin = await start(undefined, { metrics });
    const response = await fetch(`${admin.url}/metrics`);
    const text = await response.text();
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(text).toContain('process_resident_memory_bytes ');
    expect(text).toContain(`build_info{version="1.2.3",node_version="${process.version}"} 1`);
    const labels = 'procedure="blog.v1.PostService/GetPost",protocol="grpc",code="ok"';
    expect(text).toContain(`rpc_server_duration_seconds_bucket{le="0.005",${labels}} 1`);
    expect(text).toContain(`rpc_server_duration_seconds_bucket{le="0.0025",${labels}} 0`);
    expect(text).toContain('http_non_rpc_requests_total{reason="BAD_HOST",status="400"} 1');
  });

  it('have an example of each bucket in the format of OpenMetrics', async () => {
    const metrics = createMetrics({ version: '1.2.3' });
    const trace = '0af7651916cd43dd8448eb211c80319c';
    metrics.rpcEnded('blog.v1.PostService/GetPost', 'grpc', 'ok', 0.004, trace);
    metrics.nonRpcEnded('BAD_HOST', 400);
    await using admin = await start(undefined, { metrics });
    const accept = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';
    const response = await fetch(`${admin.url}/metrics`, { headers: { accept } });
    const text = await response.text();
    expect(response.headers.get('content-type')).toMatch(/^application\/openmetrics-text; version=1\.0\.0/);
    expect(text).toMatch(new RegExp(`_bucket{le="0.005",.*} 1 # {trace_id="${trace}"} 0.004 \\d+`));
    expect(text).toContain('# TYPE http_non_rpc_requests counter');
    expect(text).toContain('http_non_rpc_requests_total{reason="BAD_HOST",status="400"} 1');
    expect(text).toMatch(/# EOF\n$/);
  });

  it('are those of one service, where there are several in the process', async () => {
    const [one, other] = [createMetrics({ version: '1' }), createMetrics({ version: '2' })];
    one.nonRpcEnded('BAD_HOST', 400);
    expect((await other.render()).text).not.toContain('reason="BAD_HOST"');
  });
});

describe('the admin server', () => {
  it.each(['/', '/livez/', '/constructor', '/../livez2'])('answers %s with 404 and what there is', async path => {
    await using admin = await start();
    const response = await fetch(admin.url + path);
    expect([response.status, await response.text()]).toEqual([
      404,
      expect.stringContaining('/livez, /readyz, /startupz, /metrics'),
    ]);
  });

  it('answers another method with 405', async () => {
    await using admin = await start();
    const response = await fetch(`${admin.url}/livez`, { method: 'POST', body: 'x' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it('answers HEAD without a body', async () => {
    await using admin = await start();
    const response = await fetch(`${admin.url}/livez`, { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([200, '']);
  });

  it('names its setting when the port is taken', async () => {
    await using admin = await start();
    const again = start(undefined, { port: admin.port });
    await expect(again).rejects.toThrow('set ADMIN_PORT to another port');
  });

  it('is closed once it is disposed of, with connections open', async () => {
    const admin = await start();
    await fetch(`${admin.url}/livez`);
    await admin[Symbol.asyncDispose]();
    await admin[Symbol.asyncDispose]();
    await expect(fetch(`${admin.url}/livez`)).rejects.toThrow();
  });
});
