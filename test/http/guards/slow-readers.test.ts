import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { PIECE_BYTES } from '#src/wire/pieces.ts';
import { connectRawHttp2, FLAG, FRAME, frame, headerBlock, setting } from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';

const MIB = 1024 * 1024;
const INITIAL_WINDOW_SIZE = 4;
const GET = '/blog.v1.PostService/GetPost?encoding=json&message=%7B%7D';
const posts = (bytes: number) => ({ getPost: () => ({ post: { content: 'x'.repeat(bytes) } }) });
const stalled = 'http_connections_ended_total{reason="STALLED"}';
const open = (id: number) => {
  const fields = { ':method': 'GET', ':scheme': 'http', ':path': GET, ':authority': 'a' };
  return frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, headerBlock(fields));
};
const times = { lookEveryMs: 10, stallMs: 50, minBytesPerSecond: 1024 * MIB };
/** So that only the budget ends what does not move. */
const patient = { lookEveryMs: 10, stallMs: 600_000 };

describe('a response whose client takes nothing of it', () => {
  it('ends its HTTP/1.1 connection', async () => {
    await using port = await openPublicPort({ posts: posts(8 * MIB), times });
    const socket = connect(port.port, '127.0.0.1');
    socket.pause().write(`GET ${GET} HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(await port.log.line({ procedure: 'blog.v1.PostService/GetPost' })).toMatchObject({ aborted: true });
    expect(await port.metric(stalled)).toBe(1);
    socket.destroy();
  });

  it('ends its HTTP/2 connection where no other is open on it', async () => {
    await using port = await openPublicPort({ posts: posts(MIB), times });
    using client = await connectRawHttp2(port.port, [setting(INITIAL_WINDOW_SIZE, 0)]);
    await client.send(open(1), open(3), open(5));
    await client.closed;
    expect(await port.metric(stalled)).toBe(3);
    expect(await port.metric('http_connections')).toBe(0);
  });

  it('is reset, and nothing more, where others are open on its HTTP/2 connection', async () => {
    await using port = await openPublicPort({ posts: posts(MIB), times });
    const session = http2.connect(port.url);
    const path = '/grpc.health.v1.Health/Watch';
    const watch = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
    watch.end(Buffer.from([0, 0, 0, 0, 0]));
    await once(watch, 'data');
    const stuck = session.request({ ':path': GET });
    stuck.pause();
    await once(stuck, 'close');
    expect(stuck.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
    const next = session.request({ ':path': '/nothing' });
    const [response] = await once(next, 'response');
    expect(response[':status']).toBe(404);
    expect(watch.closed).toBe(false);
    session.destroy();
  });

  it('goes where all that wait are too much, the first one first', async () => {
    await using port = await openPublicPort({
      posts: posts(MIB),
      times: { ...patient, budgetBytes: 1.5 * PIECE_BYTES },
    });
    using client = await connectRawHttp2(port.port, [setting(INITIAL_WINDOW_SIZE, 0)]);
    using other = await connectRawHttp2(port.port, [setting(INITIAL_WINDOW_SIZE, 0)]);
    await client.send(open(1));
    await other.send(open(1), open(3));
    while ((await port.metric(stalled)) < 2) await new Promise(setImmediate);
    // The client that waits the longest is gone; one response of the other is left, and within the budget.
    await client.closed;
    expect(await port.metric('http_connections')).toBe(1);
  });

  it('is reset at once where too much waits in all, the longest wait first', async () => {
    await using port = await openPublicPort({
      posts: posts(MIB),
      times: { ...patient, budgetBytes: 3.5 * PIECE_BYTES },
    });
    using client = await connectRawHttp2(port.port, [setting(INITIAL_WINDOW_SIZE, 0)]);
    await client.send(...Array.from({ length: 8 }, (_, i) => open(1 + 2 * i)));
    while ((await port.metric(stalled)) < 5) await new Promise(setImmediate);
    // Three are left, and within the budget.
    expect(await port.metric('http_connections')).toBe(1);
  });
});

describe('a response whose client takes it slowly', () => {
  it('is sent to its end, in one piece', async () => {
    const slow = { lookEveryMs: 10, stallMs: 300, minBytesPerSecond: 1024 * MIB };
    await using port = await openPublicPort({ posts: posts(6 * MIB), times: { ...slow, minBytesPerSecond: MIB } });
    const session = http2.connect(port.url, { settings: { initialWindowSize: 65_535 } });
    const stream = session.request({ ':path': GET });
    let received = 0;
    for await (const chunk of stream) {
      received += chunk.length;
      if (received % (1024 * 1024) < chunk.length) await new Promise(resolve => setTimeout(resolve, 100));
    }
    expect(received).toBeGreaterThan(6 * MIB);
    expect(await port.metric(stalled)).toBe(0);
    session.destroy();
  });
});
