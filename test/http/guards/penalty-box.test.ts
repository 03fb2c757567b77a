import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createPenaltyBox, FLOODS_MIN } from '#src/http/guards/penalty-box.ts';
import { connectRawHttp2, FLAG, FRAME, frame, HEALTH_CHECK } from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, sendRaw, statusOf } from '#test/support/raw-http.ts';

/** Sends headers that do not end. */
async function flood(port: number, localAddress: string): Promise<void> {
  using client = await connectRawHttp2(port, [], localAddress);
  const more = Array.from({ length: 20 }, () => frame(FRAME.continuation, FLAG.none, 1));
  await client.send(frame(FRAME.headers, FLAG.none, 1, HEALTH_CHECK), ...more);
  await client.closed;
}

describe('an address', () => {
  it('that has flooded again and again is refused, counted and logged, and others are served', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 100 } });
    for (let i = 0; i < FLOODS_MIN; i++) await flood(port.port, '127.0.0.2');
    const socket = connect({ port: port.port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    const [error] = await once(socket, 'error');
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(statusOf(await sendRaw(port.port, healthCheck('Host: a\r\n')))).toBe(200);
    expect(await port.metric('http_connections_ended_total{reason="FLOOD"}')).toBe(FLOODS_MIN);
    expect(await port.metric('http_connections_refused_total{reason="FLOODED"}')).toBe(1);
    expect(await port.log.line({ event: 'connection-refused' })).toMatchObject({ reason: 'FLOODED' });
  });

  it('over one of whose connections a flood came is served over others', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 100 } });
    for (let i = 1; i < FLOODS_MIN; i++) await flood(port.port, '127.0.0.1');
    expect(statusOf(await sendRaw(port.port, healthCheck('Host: a\r\n')))).toBe(200);
  });

  it('is served where no limit per address is set, whatever comes from there', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 0 } });
    for (let i = 0; i < 11; i++) await flood(port.port, '127.0.0.1');
    expect(statusOf(await sendRaw(port.port, healthCheck('Host: a\r\n')))).toBe(200);
  });
});

describe('the memory of floods', () => {
  it('refuses at the third within ten seconds', () => {
    let now = 0;
    const memory = createPenaltyBox(() => now);
    for (let i = 1; i < FLOODS_MIN; i++) {
      memory.blame('192.0.2.1');
      expect(memory.isFlooding('192.0.2.1')).toBe(false);
      now += 2000;
    }
    memory.blame('192.0.2.1');
    expect(memory.isFlooding('192.0.2.1')).toBe(true);
  });

  it('refuses for a second, then for twice as long each time, up to ten seconds', () => {
    let now = 0;
    const memory = createPenaltyBox(() => now);
    for (let i = 1; i < FLOODS_MIN; i++) memory.blame('192.0.2.1');
    for (const seconds of [1, 2, 4, 8, 10, 10]) {
      memory.blame('::ffff:192.0.2.1');
      now += seconds * 1000 - 1;
      expect(memory.isFlooding('192.0.2.1')).toBe(true);
      expect(memory.isFlooding('192.0.2.2')).toBe(false);
      now += 1;
      expect(memory.isFlooding('192.0.2.1')).toBe(false);
    }
  });

  it('forgets after ten seconds without one', () => {
    let now = 0;
    const memory = createPenaltyBox(() => now);
    for (let i = 0; i < FLOODS_MIN + 2; i++) memory.blame('192.0.2.1');
    now += 4000 + 10_001;
    for (let i = 1; i < FLOODS_MIN; i++) memory.blame('192.0.2.1');
    expect(memory.isFlooding('192.0.2.1')).toBe(false);
  });

  it('is bounded: it forgets who was blamed first', () => {
    const memory = createPenaltyBox(() => 0);
    for (let i = 0; i <= 10_000; i++) {
      for (let flood = 0; flood < FLOODS_MIN; flood++) memory.blame(`10.0.${i >> 8}.${i & 255}`);
    }
    expect(memory.isFlooding('10.0.0.0')).toBe(false);
    expect(memory.isFlooding('10.0.0.1')).toBe(true);
  });
});
