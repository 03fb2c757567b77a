import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Health, HealthCheckResponse_ServingStatus as Status } from '#gen/grpc/health/v1/health_pb.js';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let postgres: PrivatePostgres;

beforeAll(async () => {
  postgres = await startPrivatePostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

/** Until it is disposed of. */
async function stopPostgres(): Promise<AsyncDisposable> {
  await postgres.stopImmediately();
  return { [Symbol.asyncDispose]: () => postgres.start() };
}

interface ReadinessBody {
  readonly status: string;
  readonly checks: Record<string, unknown>;
}

async function readyz({ adminUrl }: Pick<TestService, 'adminUrl'>): Promise<[status: number, body: ReadinessBody]> {
  const response = await fetch(`${adminUrl}/readyz`);
  return [response.status, (await response.json()) as ReadinessBody];
}

const healthOf = ({ url }: Pick<TestService, 'url'>) =>
  createClient(Health, createConnectTransport({ baseUrl: url, httpVersion: '2' }));

describe('while its database is down, an instance', () => {
  const settings = { DATABASE_ACQUIRE_TIMEOUT: '250ms' };

  it('is ready while it can serve from its cache, and says what is wrong', async () => {
    await using service = await startTestService({ ...settings, DATABASE_URL: postgres.url });
    await read(service);
    await using _down = await stopPostgres();
    expect(await readyz(service)).toEqual([200, { status: 'ok', checks: { accepting: true, database: false } }]);
  });

  it('is not ready where it has nothing in its cache, or for longer than it may serve that', async () => {
    await using empty = await startTestService({ ...settings, DATABASE_URL: postgres.url });
    await using short = await startTestService({
      ...settings,
      ...{ DATABASE_URL: postgres.url, CACHE_STALE_IF_ERROR: '1ms', CACHE_TTL: '1ms' },
    });
    const id = await read(short);
    await using _down = await stopPostgres();
    expect(await readyz(empty)).toMatchObject([503, { checks: { database: false } }]);
    await short.client.getPost({ key: { case: 'id', value: id } }).catch(() => {});
    await expect.poll(async () => (await readyz(short))[0]).toBe(503);
  });

  it('is not ready where the settings say so', async () => {
    await using service = await startTestService({
      ...settings,
      ...{ DATABASE_URL: postgres.url, READINESS_REQUIRES_DATABASE: 'true' },
    });
    await read(service);
    await using _down = await stopPostgres();
    expect(await readyz(service)).toMatchObject([503, { checks: { accepting: true, database: false } }]);
  });

  it('tells grpc.health.v1 the same, and those who watch it of each change', async () => {
    await using service = await startTestService({ ...settings, DATABASE_URL: postgres.url });
    const ending = new AbortController();
    const statuses = healthOf(service).watch({ service: '' }, { signal: ending.signal })[Symbol.asyncIterator]();
    expect(await statuses.next()).toMatchObject({ value: { status: Status.SERVING } });
    const down = await stopPostgres();
    expect(await statuses.next()).toMatchObject({ value: { status: Status.NOT_SERVING } });
    expect(await healthOf(service).check({})).toMatchObject({ status: Status.NOT_SERVING });
    await down[Symbol.asyncDispose]();
    expect(await statuses.next()).toMatchObject({ value: { status: Status.SERVING } });
    ending.abort();
  });
});

describe('an instance that is told to end', () => {
  it('is not ready at once, and takes calls as before until balancers have noticed', async () => {
    await using database = await createTestDatabase();
    await using service = await startTestService({ DATABASE_URL: database.url, SHUTDOWN_DELAY: '500ms' });
    const closed = service[Symbol.asyncDispose]();
    expect(await readyz(service)).toMatchObject([503, { checks: { accepting: false, database: true } }]);
    expect(await healthOf(service).check({})).toMatchObject({ status: Status.NOT_SERVING });
    await read(service);
    await closed;
    await expect(fetch(`${service.url}/`)).rejects.toThrow();
  });
});

describe('the reports for operators', () => {
  it('have the settings without secrets, the breakers, and the connections', async () => {
    await using service = await startTestService();
    const report = async (path: string) => (await fetch(service.adminUrl + path)).json() as Promise<object>;
    const settings = JSON.stringify(await report('/configz'));
    expect(settings).toContain('"pageTokenSecret":"REDACTED"');
    expect(settings).toContain('"shutdownGraceMs":10000');
    expect(await report('/breakerz')).toMatchObject({
      primary: { breaker: 'closed', admissions: { read: { queued: 0 }, write: { limit: 10, inFlight: 0 } } },
      sheddingPressure: 0,
    });
    expect(await report('/poolz')).toMatchObject({ pool: { waiting: 0 }, held: [], lanes: { inFlight: 0 } });
  });
});

/** Makes a post, and reads it into the cache, which takes nothing in before it hears of changes. */
async function read(service: TestService): Promise<string> {
  const { client, adminUrl } = service;
  const { post } = await client.createPost({ post: aPost() });
  // Its word of the write drops what was read before.
  await untilFeedHeard(service);
  const id = post?.id ?? '';
  const readOnce = async () => {
    await client.getPost({ key: { case: 'id', value: id } });
    return (await fetch(`${adminUrl}/metrics`)).text();
  };
  await expect.poll(readOnce).toMatch(/^cache_near_entries [1-9]/m);
  return id;
}
