import http2 from 'node:http2';
import { describe, expect, it } from 'vitest';
import { connectRawHttp2, FLAG, FRAME, frame, headerBlock } from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';

const HEADERS = headerBlock({ ':method': 'POST', ':scheme': 'http', ':path': '/x', ':authority': 'a' });
const noPong = 'http_connections_ended_total{reason="NO_PONG"}';

describe('an HTTP/2 client', () => {
  it('that answers pings stays connected, however long it is idle', async () => {
    await using port = await openPublicPort({ times: { idlePingMs: 10, pongWithinMs: 10_000, lookEveryMs: 5 } });
    const session = http2.connect(port.url);
    let pings = 0;
    await new Promise<void>(resolve => session.on('ping', () => ++pings === 20 && resolve()));
    expect(session.destroyed).toBe(false);
    expect(await port.metric(noPong)).toBe(0);
    session.destroy();
  });

  it('that answers no ping is disconnected, and counted', async () => {
    await using port = await openPublicPort({ times: { idlePingMs: 10, pongWithinMs: 20, lookEveryMs: 5 } });
    using client = await connectRawHttp2(port.port);
    await client.closed;
    expect(await port.metric(noPong)).toBe(1);
  });

  it.each([
    ['in the middle of a header', frame(FRAME.headers, FLAG.none, 1, HEADERS)],
    ['in the middle of a frame', frame(FRAME.headers, FLAG.endHeaders, 1, HEADERS).subarray(0, 12)],
    ['in the middle of the head of a frame', Buffer.from([0, 0])],
  ])('that stops %s is disconnected sooner than one that is idle', async (_, bytes) => {
    const times = { idlePingMs: 600_000, unprovenPingMs: 10, pongWithinMs: 20, lookEveryMs: 5 };
    await using port = await openPublicPort({ times });
    using client = await connectRawHttp2(port.port);
    await client.send(bytes);
    await client.closed;
    expect(await port.metric(noPong)).toBe(1);
  });

  it('that sends a header byte by byte, without end, is disconnected', async () => {
    const times = { idlePingMs: 600_000, unprovenPingMs: 10, pongWithinMs: 20, lookEveryMs: 5 };
    await using port = await openPublicPort({ times });
    using client = await connectRawHttp2(port.port);
    await client.send(frame(FRAME.headers, FLAG.none, 1, HEADERS).subarray(0, 9));
    const dribble = setInterval(() => void client.send(Buffer.from([0])), 5);
    await client.closed;
    clearInterval(dribble);
    expect(await port.metric(noPong)).toBe(1);
  });
});
