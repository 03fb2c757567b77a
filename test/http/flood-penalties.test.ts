import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { FloodPenalties } from '#src/http/flood-penalties.ts';
import { connectRawHttp2, FLAG, FRAME, frame } from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, statusOf } from '#test/support/raw-http.ts';

describe('FloodPenalties', () => {
  it('hold a network off for a second, then for twice as long each time, up to half a minute', () => {
    let now = 0;
    const penalties = new FloodPenalties(() => now);
    for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
      penalties.flooded('a');
      now += seconds * 1000 - 1;
      expect(penalties.isHeldOff('a')).toBe(true);
      expect(penalties.isHeldOff('b')).toBe(false);
      now += 1;
      expect(penalties.isHeldOff('a')).toBe(false);
    }
  });

  it('are forgotten a minute after the last one', () => {
    let now = 0;
    const penalties = new FloodPenalties(() => now);
    for (let n = 0; n < 5; n++) penalties.flooded('a');
    now += 16_000 + 60_001;
    penalties.flooded('a');
    now += 1000;
    expect(penalties.isHeldOff('a')).toBe(false);
  });

  it('remember 10,000 networks at most, and forget the oldest', () => {
    const penalties = new FloodPenalties(() => 0);
    for (let n = 0; n <= 10_000; n++) penalties.flooded(String(n));
    expect(penalties.isHeldOff('0')).toBe(false);
    expect(penalties.isHeldOff('1')).toBe(true);
  });
});

describe('An address that has flooded', () => {
  async function flood(port: number): Promise<void> {
    using client = await connectRawHttp2(port, [], '127.0.0.2');
    let isOpen = true;
    void client.closed.then(() => {
      isOpen = false;
    });
    const pings = Array.from({ length: 100 }, () => frame(FRAME.ping, FLAG.none, 0, Buffer.alloc(8)));
    while (isOpen) {
      await client.send(...pings);
      await new Promise(setImmediate);
    }
  }
  const call = (port: number, localAddress: string) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    socket.write(healthCheck('Host: a\r\n'));
    return socket;
  };

  it('has its next connection reset and counted, and others are served', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 100 } });
    await flood(port.port);
    const [error] = await once(call(port.port, '127.0.0.2'), 'error');
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(await port.metric('http_connections_refused_total{reason="FLOODED"}')).toBe(1);
    const [answer] = await once(call(port.port, '127.0.0.3'), 'data');
    expect(statusOf(String(answer))).toBe(200);
  });

  it('is not held off where CONNECTIONS_PER_ADDRESS sets no limit, as behind a balancer', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 0 } });
    await flood(port.port);
    const [answer] = await once(call(port.port, '127.0.0.2'), 'data');
    expect(statusOf(String(answer))).toBe(200);
  });
});
