import { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { readClosingClients, replayClosingClient } from '#test/support/closing-clients.ts';
import {
  CANCEL,
  connectRawHttp2,
  FLAG,
  FRAME,
  frame,
  HEALTH_CHECK,
  headerBlock,
  type RawHttp2Client,
} from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { selfSigned } from '#test/support/self-signed.ts';

const CERTIFICATE = selfSigned();

describe.each(readClosingClients().map(client => [`${client.name}, after a ${client.kind}`, client] as const))(
  'a connection that %s closes',
  (_, client) => {
    it.each([
      ['in clear text', undefined],
      ['over TLS', CERTIFICATE],
    ])('is no error %s: nothing is counted or warned of, and others from there are served', async (_carrier, tls) => {
      await using port = await openPublicPort({ tls, connections: { perAddress: 100 } });
      for (let time = 0; time < 8; time++) {
        await replayClosingClient(client, port.port, tls?.cert);
        using next = await connectRawHttp2(port.port, [], '127.0.0.1', tls?.cert);
        await next.send(frame(FRAME.headers, FLAG.endHeaders, 1, HEALTH_CHECK));
        await next.send(frame(FRAME.data, FLAG.endStream, 1, Buffer.alloc(5)));
        await next.frame(FRAME.data, 1);
      }
      const { text } = await port.metrics.render();
      expect(text).not.toMatch(/^http_connections_(ended|refused)_total\{/m);
      expect(port.log.lines.filter(({ level }) => Number(level) >= WARN)).toEqual([]);
    });

    it('ends its call as ok or canceled', async () => {
      await using port = await openPublicPort();
      await replayClosingClient(client, port.port);
      const line = await port.log.line({ msg: 'request' });
      expect(line.code).toBe(client.kind === 'call' ? 'ok' : 'canceled');
    });
  },
);

/** How a client goes. */
const ENDS: Readonly<Record<string, (client: RawHttp2Client) => unknown>> = {
  'half-closes it (FIN)': ({ socket }) => socket.end(),
  // Over TLS there is no way to.
  'resets it (RST)': ({ socket }) => (socket instanceof TLSSocket ? socket.destroy() : socket.resetAndDestroy()),
  'sends a GOAWAY and closes it': async client => {
    await client.send(goaway(0));
    client.socket.end();
  },
  "sends a GOAWAY with its own stream's id and closes it": async client => {
    await client.send(goaway(1));
    client.socket.end();
  },
  'resets the stream (CANCEL)': client => client.send(frame(FRAME.rstStream, FLAG.none, 1, CANCEL)),
  'resets the stream (NO_ERROR)': client => client.send(frame(FRAME.rstStream, FLAG.none, 1, Buffer.alloc(4))),
  'breaks HTTP/2': client => client.send(frame(FRAME.data, FLAG.none, 0)),
};

/** Calls that are open when it goes, and the frame that shows that they run; undefined: nothing does. */
const CALLS = {
  'a watch': { path: '/grpc.health.v1.Health/Watch', contentType: 'application/grpc', body: Buffer.alloc(5) },
  'a watch over Connect': {
    path: '/grpc.health.v1.Health/Watch',
    contentType: 'application/connect+proto',
    body: Buffer.alloc(5),
  },
  'a unary call': { path: '/blog.v1.PostService/GetPost', contentType: 'application/grpc', body: Buffer.alloc(5) },
  'a unary call whose body is on its way': {
    path: '/blog.v1.PostService/GetPost',
    contentType: 'application/proto',
    body: undefined,
  },
} as const;

describe.each([
  ['the fast path', true, undefined],
  ['connect-node', false, undefined],
  ['the fast path, over TLS', true, CERTIFICATE],
])('with %s, a client that goes in the middle of', (_path, fastPath, tls) => {
  describe.each(Object.entries(CALLS))('%s', (_call, { path, contentType, body }) => {
    it.each(Object.entries(ENDS))('and %s has cancelled it', async (_end, go) => {
      const started = Promise.withResolvers<void>();
      const getPost = () => {
        started.resolve();
        return new Promise<never>(() => {});
      };
      await using port = await openPublicPort({ fastPath, tls, posts: { getPost } });
      using client = await connectRawHttp2(port.port, [], '127.0.0.1', tls?.cert);
      const fields = { ':method': 'POST', ':scheme': 'http', ':path': path, ':authority': 'a' };
      const head = headerBlock({ ...fields, 'content-type': contentType, te: 'trailers' });
      await client.send(frame(FRAME.headers, FLAG.endHeaders, 1, head));
      if (body === undefined) {
        // Answers to calls come in their order here: what was sent before has arrived.
        await client.send(frame(FRAME.headers, FLAG.endHeaders, 3, HEALTH_CHECK));
        await client.send(frame(FRAME.data, FLAG.endStream, 3, Buffer.alloc(5)));
        await client.frame(FRAME.headers, 3);
      } else {
        await client.send(frame(FRAME.data, FLAG.endStream, 1, body));
        await (path.endsWith('Watch') ? client.frame(FRAME.data, 1) : started.promise);
      }
      await go(client);
      const line = await port.log.line({ msg: 'request', path });
      expect(line).toMatchObject({ code: 'canceled', aborted: true });
      expect(line.level).toBe(INFO);
    });
  });
});

function goaway(lastStreamId: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastStreamId);
  return frame(FRAME.goaway, FLAG.none, 0, payload);
}

/** Levels of the log. */
const INFO = 30;
const WARN = 40;
