import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import { startNginxGrpc } from '#test/support/nginx.ts';
import { openPublicPort } from '#test/support/public-port.ts';

describe('behind NGINX with grpc_pass', () => {
  it('no call fails beside requests with many or large fields, and beside cancelled calls', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 100 } });
    await using nginx = await startNginxGrpc(port.url);
    const newClient = () => createClient(Health, createGrpcTransport({ baseUrl: nginx.url }));
    const client = newClient();
    const odd: readonly Readonly<Record<string, string>>[] = [
      manyFields(200),
      manyFields(900),
      { x: 'a'.repeat(7000) },
      { x: 'a'.repeat(70_000) },
    ];
    for (const headers of odd) {
      const good = () => Array.from({ length: 10 }, () => client.check({}));
      const cancelled = Array.from({ length: 10 }, async () => {
        const ending = new AbortController();
        for await (const _ of newClient().watch({}, { signal: ending.signal })) ending.abort();
      });
      const others = [...cancelled, newClient().check({}, { headers })].map(call => call.catch(() => {}));
      await Promise.all([...good(), ...others, ...good()]);
    }
    expect(await port.metric('http_connections_ended_total{reason="PROTOCOL_ERROR"}')).toBe(0);
  });
});

function manyFields(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`x-${n}`, '1']));
}
