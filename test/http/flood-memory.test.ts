import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createFloodMemory } from '#src/http/flood-memory.ts';
import { connectRawHttp2, FRAME, frame } from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, sendRaw, statusOf } from '#test/support/raw-http.ts';

/** Sends what no client sends: data for a stream that is not open. */
async function misbehave(port: number, localAddress: string): Promise<void> {
  using client = await connectRawHttp2(port, [], localAddress);
  await client.send(frame(FRAME.data, 0, 0));
  await client.closed;
}

describe('an address that floods again and again', () => {
  it('is refused, counted and logged, and others are served', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 100 } });
    for (let i = 0; i < 10; i++) await misbehave(port.port, '127.0.0.2');
    const socket = connect({ port: port.port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    const [error] = await once(socket, 'error');
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(statusOf(await sendRaw(port.port, healthCheck('Host: a\r\n')))).toBe(200);
    expect(await port.metric('http_connections_refused_total{reason="FLOODED"}')).toBe(1);
    expect(await port.log.line({ event: 'connection-refused' })).toMatchObject({ reason: 'FLOODED' });
  });

  it('is served where no limit per address is set', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 0 } });
    for (let i = 0; i < 11; i++) await misbehave(port.port, '127.0.0.1');
    expect(statusOf(await sendRaw(port.port, healthCheck('Host: a\r\n')))).toBe(200);
  });
});

describe('the memory of floods', () => {
  it('refuses from the tenth on, until 30 s after the last', () => {
    let now = 0;
    const memory = createFloodMemory(() => now);
    for (let i = 0; i < 9; i++) memory.blame('192.0.2.1');
    expect(memory.isFlooding('192.0.2.1')).toBe(false);
    memory.blame('::ffff:192.0.2.1');
    expect(memory.isFlooding('192.0.2.1')).toBe(true);
    now = 30_000;
    expect(memory.isFlooding('192.0.2.1')).toBe(false);
  });

  it('forgets floods that are far between', () => {
    let now = 0;
    const memory = createFloodMemory(() => now);
    for (let i = 0; i < 20; i++, now += 30_000) memory.blame('192.0.2.1');
    expect(memory.isFlooding('192.0.2.1')).toBe(false);
  });
});
