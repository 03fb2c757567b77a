import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { Client, credentials } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import {
  connectRawHttp2,
  FLAG,
  FRAME,
  frame,
  headerBlock,
  type RawHttp2Client,
  type ReceivedFrame,
} from '#test/support/http2-frames.ts';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';
import { selfSigned } from '#test/support/self-signed.ts';

const CERTIFICATE = selfSigned();
const CARRIERS = [
  ['in clear text', undefined],
  ['over TLS', CERTIFICATE],
] as const;
const EVERY_STREAM = 2 ** 31 - 1;
const HEADERS = headerBlock({ ':method': 'GET', ':scheme': 'http', ':path': '/nothing', ':authority': 'a' });
const request = (id: number) => frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, HEADERS);
const goaways = ({ frames }: RawHttp2Client) =>
  frames.filter(({ type }) => type === FRAME.goaway).map(({ payload }) => payload.readUInt32BE());

/** Acknowledges what the service pings before it tells of the end; the ping after that is the caller's. */
function pingAfterGoaway(client: RawHttp2Client): Promise<ReceivedFrame> {
  return new Promise(resolve => {
    client.events.on('frame', received => {
      if (received.type !== FRAME.ping || received.flags !== FLAG.none) return;
      if (goaways(client).length > 0) resolve(received);
      else void client.send(frame(FRAME.ping, FLAG.ack, 0, received.payload));
    });
  });
}

describe.each(CARRIERS)('the end of an HTTP/2 connection %s', (_, tls) => {
  it('comes after what crosses the first GOAWAY on its way has been answered', async () => {
    await using port = await openPublicPort({ tls });
    using client = await connectRawHttp2(port.port, [], '127.0.0.1', tls?.cert);
    await client.send(request(1));
    await client.frame(FRAME.headers, 1);
    const closed = port.listener.close(60_000);
    const { payload } = await pingAfterGoaway(client);
    expect(goaways(client)).toEqual([EVERY_STREAM]);
    await client.send(request(3), request(5), frame(FRAME.ping, FLAG.ack, 0, payload));
    await Promise.all([client.frame(FRAME.headers, 3), client.frame(FRAME.headers, 5)]);
    await client.closed;
    expect(goaways(client)[1]).toBe(5);
    expect(await closed).toBe(0);
  });

  it('comes in a bounded time for a client that acknowledges nothing', async () => {
    await using port = await openPublicPort({ tls });
    using client = await connectRawHttp2(port.port, [], '127.0.0.1', tls?.cert);
    await client.send(request(1));
    await client.frame(FRAME.headers, 1);
    const closed = port.listener.close(60_000);
    await client.closed;
    expect(goaways(client).slice(0, 2)).toEqual([EVERY_STREAM, 1]);
    expect(await closed).toBe(0);
  });
});

describe('clients over TLS that end their side while they are answered', () => {
  it('are disconnected, and the next one is served', async () => {
    await using port = await openPublicPort({ tls: CERTIFICATE });
    for (let round = 0; round < 20; round++) {
      using client = await connectRawHttp2(port.port, [], '127.0.0.1', CERTIFICATE.cert);
      await client.send(...Array.from({ length: 100 }, (_, i) => request(1 + 2 * i)));
      client.socket.end();
      await client.closed;
    }
    using next = await connectRawHttp2(port.port, [], '127.0.0.1', CERTIFICATE.cert);
    await next.send(request(1));
    await next.frame(FRAME.headers, 1);
  });
});

const CLIENTS: readonly [
  string,
  (port: PublicPort, cert: string | undefined) => [call: () => Promise<unknown>, end: () => void],
][] = [
  [
    'grpc-js',
    ({ url }, cert) => {
      const secrets = cert === undefined ? credentials.createInsecure() : credentials.createSsl(Buffer.from(cert));
      const client = new Client(new URL(url).host, secrets, { 'grpc.ssl_target_name_override': 'localhost' });
      const bytes = (message: Buffer) => message;
      const call = () =>
        new Promise((resolve, reject) =>
          client.makeUnaryRequest('/grpc.health.v1.Health/Check', bytes, bytes, Buffer.alloc(0), (error, answer) =>
            error === null ? resolve(answer) : reject(error),
          ),
        );
      return [call, () => client.close()];
    },
  ],
  [
    'Connect',
    ({ url }, cert) => {
      const nodeOptions = cert === undefined ? {} : { ca: cert };
      const client = createClient(Health, createConnectTransport({ baseUrl: url, httpVersion: '2', nodeOptions }));
      return [() => client.check({}), () => {}];
    },
  ],
];

describe.each(CARRIERS)('connections %s that reach their age all the time', (_, tls) => {
  it.each(CLIENTS)('cost a client of %s that calls all the time no call', async (_name, connect) => {
    await using port = await openPublicPort({
      tls,
      connections: { maxAgeMs: 10, maxAgeGraceMs: 60_000 },
      times: { lookEveryMs: 2 },
    });
    const [call, end] = connect(port, tls?.cert);
    let over = false;
    let calls = 0;
    const callAllTheTime = async () => {
      for (; !over; calls++) await call();
    };
    const running = Promise.all(Array.from({ length: 8 }, callAllTheTime));
    const ended = async () => {
      while ((await port.metric('http_connections_ended_total{reason="MAX_AGE"}')) < AGES) await call();
      over = true;
    };
    await Promise.all([running, ended()]);
    end();
    expect(calls).toBeGreaterThan(AGES);
  });
});

describe.each(CARRIERS)('a shutdown %s', (_, tls) => {
  it.each(CLIENTS)(
    'costs a client of %s that calls all the time no call that it could send',
    async (_name, connect) => {
      await using port = await openPublicPort({ tls });
      const [call, end] = connect(port, tls?.cert);
      let calls = 0;
      const warm = Promise.withResolvers<void>();
      const callUntilRefused = async () => {
        for (;;) {
          try {
            await call();
          } catch (error) {
            return String((error as Error).message);
          }
          if (++calls === 200) warm.resolve();
        }
      };
      const running = Array.from({ length: 8 }, callUntilRefused);
      await warm.promise;
      expect(await port.listener.close(60_000)).toBe(0);
      end();
      for (const refusal of await Promise.all(running)) expect(refusal).toContain('ECONNREFUSED');
    },
  );
});

/** Each is a connection, and over TLS a handshake. */
const AGES = 25;
