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

describe('an address that has flooded', () => {
  it('is refused, counted and logged, and others are served', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 100 } });
    await misbehave(port.port, '127.0.0.2');
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
  it('refuses for a second, then for twice as long each time, up to half a minute', () => {
    let now = 0;
    const memory = createFloodMemory(() => now);
    for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
      memory.blame('::ffff:192.0.2.1');
      now += seconds * 1000 - 1;
      expect(memory.isFlooding('192.0.2.1')).toBe(true);
      expect(memory.isFlooding('192.0.2.2')).toBe(false);
      now += 1;
      expect(memory.isFlooding('192.0.2.1')).toBe(false);
    }
  });

  it('forgets after a minute without one', () => {
    let now = 0;
    const memory = createFloodMemory(() => now);
    for (let i = 0; i < 5; i++) memory.blame('192.0.2.1');
    now += 16_000 + 60_001;
    memory.blame('192.0.2.1');
    now += 1000;
    expect(memory.isFlooding('192.0.2.1')).toBe(false);
  });

  it('is bounded: it forgets who was blamed first', () => {
    const memory = createFloodMemory(() => 0);
    for (let i = 0; i <= 10_000; i++) memory.blame(`10.0.${i >> 8}.${i & 255}`);
    expect(memory.isFlooding('10.0.0.0')).toBe(false);
    expect(memory.isFlooding('10.0.0.1')).toBe(true);
  });
});
