import { describe, expect, it } from 'vitest';
import { type AdminServerOptions, startAdminServer } from '#src/http/admin-server.ts';
import { createMetrics } from '#src/observability/metrics.ts';

async function start(readiness: AdminServerOptions['readiness'] = () => ({ database: true })) {
  return startAdminServer({ host: '127.0.0.1', port: 0, readiness, metrics: createMetrics({ version: '1.2.3' }) });
}

describe('/livez', () => {
  it('is 200, whether the service is ready or not', async () => {
    await using admin = await start(() => ({ accepting: false }));
    const response = await fetch(`${admin.url}/livez`);
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }]);
  });
});

describe('/readyz', () => {
  it('is 200 with each check where all is well', async () => {
    await using admin = await start(async () => ({ accepting: true, database: true }));
    const response = await fetch(`${admin.url}/readyz`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'ok', checks: { accepting: true, database: true } });
  });

  it.each([false, 'draining', 'connection refused'])('is 503 with each check where one is %j', async problem => {
    await using admin = await start(() => ({ accepting: true, database: problem }));
    const response = await fetch(`${admin.url}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: 'not ready', checks: { accepting: true, database: problem } });
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
    let accepting = true;
    await using admin = await start(() => ({ accepting }));
    expect((await fetch(`${admin.url}/readyz`)).status).toBe(200);
    accepting = false;
    expect((await fetch(`${admin.url}/readyz`)).status).toBe(503);
  });
});

describe('/metrics', () => {
  it("has the process's metrics, the build, and what was observed", async () => {
    const metrics = createMetrics({ version: '1.2.3' });
    metrics.rpcEnded('blog.v1.PostService/GetPost', 'grpc', 'ok', 0.004);
    metrics.nonRpcEnded('BAD_HOST', 400);
    await using admin = await startAdminServer({ host: '127.0.0.1', port: 0, readiness: () => ({}), metrics });
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

  it('are those of one service, where there are several in the process', async () => {
    const [one, other] = [createMetrics({ version: '1' }), createMetrics({ version: '2' })];
    one.nonRpcEnded('BAD_HOST', 400);
    expect(await other.render()).not.toContain('reason="BAD_HOST"');
  });
});

describe('the admin server', () => {
  it.each(['/', '/livez/', '/constructor', '/../livez2'])('answers %s with 404 and what there is', async path => {
    await using admin = await start();
    const response = await fetch(admin.url + path);
    expect([response.status, await response.text()]).toEqual([
      404,
      expect.stringContaining('/livez, /readyz, /metrics'),
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
    const again = startAdminServer({
      host: '127.0.0.1',
      port: admin.port,
      readiness: () => ({}),
      metrics: createMetrics({ version: '1' }),
    });
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
