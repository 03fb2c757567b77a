import { once } from 'node:events';
import http2 from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CANCEL,
  connectRawHttp2,
  FLAG,
  FRAME,
  frame,
  HEALTH_CHECK,
  headerBlock,
  setting,
} from '#test/support/http2-frames.ts';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';

const open = (id: number) => frame(FRAME.headers, FLAG.endHeaders, id, HEALTH_CHECK);

/** Each sends a piece of a flood, which the caller repeats until the connection is closed. */
const FLOODS: Readonly<Record<string, (round: number) => Buffer[]>> = {
  'rapid reset': round => streamIds(round, 100).flatMap(id => [open(id), frame(FRAME.rstStream, 0, id, CANCEL)]),
  'resets that it asks us for': round =>
    streamIds(round, 100).flatMap(id => [open(id), frame(FRAME.windowUpdate, 0, id, Buffer.alloc(4))]),
  'headers that do not end': round => [
    ...(round === 0 ? [frame(FRAME.headers, FLAG.none, 1, HEALTH_CHECK)] : []),
    ...Array.from({ length: 100 }, () => frame(FRAME.continuation, FLAG.none, 1, headerBlock({ x: 'y' }))),
  ],
  'empty headers that do not end': round => [
    ...(round === 0 ? [frame(FRAME.headers, FLAG.none, 1)] : []),
    ...Array.from({ length: 100 }, () => frame(FRAME.continuation, FLAG.none, 1)),
  ],
  pings: () => Array.from({ length: 100 }, () => frame(FRAME.ping, FLAG.none, 0, Buffer.alloc(8))),
  settings: () => Array.from({ length: 100 }, () => frame(FRAME.settings, FLAG.none, 0, setting(3, 100))),
  'empty settings': () => Array.from({ length: 100 }, () => frame(FRAME.settings, FLAG.none, 0)),
  'more streams than are allowed': round => streamIds(round, 100).map(open),
};

/** Those whose first frame is an error of HTTP/2. */
const ERRORS: ReadonlySet<string> = new Set(['resets that it asks us for']);

describe('a flood of', () => {
  let port: PublicPort;
  beforeAll(async () => {
    port = await openPublicPort();
  });
  afterAll(() => port[Symbol.asyncDispose]());

  it.each(Object.entries(FLOODS))('%s ends the connection, and the next client is served', async (name, piece) => {
    const before = (await port.metrics.render()).text;
    const endedBefore = (reason: string) =>
      Number(new RegExp(`^http_connections_ended_total\\{reason="${reason}"\\} (\\d+)$`, 'm').exec(before)?.[1] ?? 0);
    using client = await connectRawHttp2(port.port);
    let round = 0;
    let closed = false;
    void client.closed.then(() => {
      closed = true;
    });
    for (; !closed && round < MOST_ROUNDS; round++) {
      await client.send(...piece(round));
      await new Promise(setImmediate);
    }
    console.log(`${name}: closed after ${round * 100} or less, GOAWAY ${await client.closed}`);
    expect(closed).toBe(true);
    const session = http2.connect(port.url);
    const stream = session.request({ ':path': '/nothing' });
    const [response] = await once(stream, 'response');
    expect(response[':status']).toBe(404);
    session.destroy();
    const reason = ERRORS.has(name) ? 'PROTOCOL_ERROR' : 'FLOOD';
    const ended = () => port.metric(`http_connections_ended_total{reason="${reason}"}`);
    await expect.poll(ended).toBe(endedBefore(reason) + 1);
  });
});

describe('an HTTP/2 client that pings while it is answered', () => {
  it('is no flood, as gRPC clients in Go measure the line so', async () => {
    await using port = await openPublicPort();
    const session = http2.connect(port.url);
    await once(session, 'connect');
    for (let call = 0; call < 3000; call++) {
      const stream = session.request({ ':path': '/nothing' });
      stream.resume();
      const pong = new Promise<void>((resolve, reject) => session.ping(error => (error ? reject(error) : resolve())));
      await Promise.all([once(stream, 'close'), pong]);
    }
    expect(session.destroyed).toBe(false);
    session.destroy();
  });
});

describe('100 calls in one packet', () => {
  const open = (id: number) => [
    frame(FRAME.headers, FLAG.endHeaders, id, HEALTH_CHECK),
    frame(FRAME.data, FLAG.endStream, id, Buffer.alloc(5)),
  ];

  it('are all answered', async () => {
    await using port = await openPublicPort();
    using client = await connectRawHttp2(port.port);
    await client.send(Buffer.concat(streamIds(0, 100).flatMap(open)));
    await expect.poll(() => port.log.lines.filter(({ code }) => code === 'ok').length).toBe(100);
  });

  it('which are reset by the same packet never become calls, but for those of the first turn', async () => {
    await using port = await openPublicPort();
    using client = await connectRawHttp2(port.port);
    await client.send(
      Buffer.concat(streamIds(0, 100).flatMap(id => [...open(id), frame(FRAME.rstStream, 0, id, CANCEL)])),
    );
    await expect.poll(() => port.log.lines.filter(({ msg }) => msg === 'request').length).toBe(100);
    const lines = port.log.lines.filter(({ msg }) => msg === 'request');
    expect(lines.filter(({ refused }) => refused === 'RESET').length).toBeGreaterThanOrEqual(84);
  });
});

/** Many times what any of them takes. */
const MOST_ROUNDS = 300;

function streamIds(round: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => 1 + 2 * (round * count + i));
}
