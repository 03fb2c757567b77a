import { type Client, createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Health, HealthCheckResponse_ServingStatus as Status } from '#gen/grpc/health/v1/health_pb.js';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { ERROR_ENCODINGS, TRANSPORTS } from '#test/support/transports.ts';

const NAMES = ['', 'blog.v1.PostService'];
let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

describe.each(ERROR_ENCODINGS)('grpc.health.v1.Health through %s', name => {
  const client = (): Client<typeof Health> => createClient(Health, TRANSPORTS[name](service.url, {}));

  it('Check says that the server, and its service, take calls', async () => {
    for (const name of NAMES) expect(await client().check({ service: name })).toMatchObject({ status: Status.SERVING });
  });

  it('Check returns NOT_FOUND for an unknown service', async () => {
    expect(await failureOf(client().check({ service: 'blog.v1.Nonsense' }))).toMatchObject({
      code: 'not_found',
      reason: 'SERVICE_NOT_FOUND',
      metadata: { service: 'blog.v1.Nonsense' },
    });
  });

  it('List has the server and its service', async () => {
    const { statuses } = await client().list({});
    expect(Object.entries(statuses).map(([name, { status }]) => [name, status])).toEqual(
      NAMES.map(name => [name, Status.SERVING]),
    );
  });

  it('Watch gives the status at once, and goes on until the client ends it', async () => {
    const ending = new AbortController();
    const seen: Status[] = [];
    const watching = (async () => {
      for await (const { status } of client().watch({ service: '' }, { signal: ending.signal })) {
        seen.push(status);
        ending.abort();
      }
    })();
    await expect(watching).rejects.toThrow(/cancel|abort/);
    expect(seen).toEqual([Status.SERVING]);
    expect(await service.log.line({ procedure: 'grpc.health.v1.Health/Watch' })).toMatchObject({ code: 'canceled' });
  });

  it('Watch ends with DEADLINE_EXCEEDED at its deadline', async () => {
    // As fields, not as the client's option: that would end the call by itself.
    const headers = { 'connect-timeout-ms': '50', 'grpc-timeout': '50m' };
    const watching = (async () => {
      for await (const { status } of client().watch({ service: '' }, { headers })) expect(status).toBe(Status.SERVING);
    })();
    expect(await failureOf(watching)).toMatchObject({ code: 'deadline_exceeded', reason: 'DEADLINE_EXCEEDED' });
  });

  it('Watch says that it does not know a service', async () => {
    const ending = new AbortController();
    const stream = client().watch({ service: 'blog.v1.Nonsense' }, { signal: ending.signal })[Symbol.asyncIterator]();
    expect(await stream.next()).toMatchObject({ value: { status: Status.SERVICE_UNKNOWN } });
    ending.abort();
    await expect(stream.next()).rejects.toThrow(/cancel|abort/);
  });

  it('Watch says when the server shuts down, and its stream ends without an error', async () => {
    await using other = await startTestService({ DATABASE_URL: service.databaseUrl });
    const health = createClient(Health, TRANSPORTS[name](other.url, {}));
    const streams = NAMES.map(name => health.watch({ service: name })[Symbol.asyncIterator]());
    for (const stream of streams) expect(await stream.next()).toMatchObject({ value: { status: Status.SERVING } });
    const last = streams.map(stream => stream.next());
    const closed = other[Symbol.asyncDispose]();
    for (const next of last) expect(await next).toMatchObject({ value: { status: Status.NOT_SERVING } });
    for (const stream of streams) expect(await stream.next()).toMatchObject({ done: true });
    await closed;
  });
});
