import http from 'node:http';
import http2 from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { startHaproxy } from '#test/support/haproxy.ts';
import { connectRawHttp2, FRAME, frame } from '#test/support/http2-frames.ts';
import { callAtConstantRate, goodClients } from './good-clients.ts';
import type { Verdict } from './verdict.ts';

/** H13: errors of one client, again and again, beside good clients of the same address and behind the same proxy. */
export async function attackFromSharedAddress(url: string): Promise<Verdict[]> {
  const port = Number(new URL(url).port);
  const shared = { mode: 'http', upstream: port, serverOptions: 'proto h2' } as const;
  await using haproxy = await startHaproxy(shared);
  await using untuned = await startHaproxy({ ...shared, tuning: [] });
  return [
    await beside('one malformed connection each 0.5 s', url, 500, () => breakHttp2(port)),
    await beside('metadata of 70,000 bytes each 0.5 s', url, 500, () => ask(url, { x: 'a'.repeat(70_000) })),
    await beside('200 fields each second through HAProxy', haproxy.url, 1000, () => askEither(haproxy.url, 200)),
    await beside('200 fields each second through HAProxy as it is at first', untuned.url, 1000, () =>
      askEither(untuned.url, 200),
    ),
    // What HAProxy can't pass on at first: it breaks the connection that its clients share, by RFC 9113.
    await beside('120 fields each second through HAProxy', haproxy.url, 1000, () => askEither(haproxy.url, 120)),
    {
      ...(await beside('120 fields each second through HAProxy as it is at first', untuned.url, 1000, () =>
        askEither(untuned.url, 120),
      )),
      target: 'to see: the documentation says how to tune it',
      isMet: true,
    },
  ];
}

/** Calls over kept connections, and each tenth over a new one, while an odd client does its thing. */
async function beside(attack: string, url: string, everyMs: number, once: () => Promise<unknown>): Promise<Verdict> {
  const until = AbortSignal.timeout(SECONDS * 1000);
  const kept = callAtConstantRate(goodClients(url), until);
  const anew = { calls: 0, failed: 0 };
  const connecting = (async () => {
    const agent = new http.Agent({ keepAlive: false });
    while (!until.aborted) {
      anew.calls++;
      if (!(await checkOver(agent, url))) anew.failed++;
      await delay(20);
    }
  })();
  let times = 0;
  while (!until.aborted) {
    await Promise.all([once(), delay(everyMs)]);
    times++;
  }
  await connecting;
  const { calls, failed, p99Ms } = await kept;
  const figure = `${failed + anew.failed} of ${calls + anew.calls} good calls failed, ${anew.calls} of them over new connections, beside ${times}; p99 ${p99Ms.toFixed(1)} ms`;
  return { id: 'H13', attack, figure, target: '0 failed', isMet: failed + anew.failed === 0 };
}

function checkOver(agent: http.Agent, url: string): Promise<boolean> {
  return new Promise(resolve => {
    const headers = { 'content-type': 'application/json' };
    const request = http.request(`${url}${PATH}`, { agent, method: 'POST', headers });
    request.on('response', response => {
      response.resume().on('close', () => resolve(response.statusCode === 200));
    });
    request.on('error', () => resolve(false)).end('{}');
  });
}

async function breakHttp2(port: number): Promise<void> {
  using client = await connectRawHttp2(port);
  await client.send(frame(FRAME.windowUpdate, 0, 0, Buffer.alloc(4)));
  await client.closed;
}

function ask(url: string, fields: Readonly<Record<string, string>>): Promise<void> {
  return new Promise(resolve => {
    const session = http2.connect(url, { maxSendHeaderBlockLength: 1_000_000 }).on('error', () => {});
    const headers = { ':method': 'POST', ':path': PATH, 'content-type': 'application/json', ...fields };
    const stream = session.request(headers).on('error', () => {});
    stream.on('close', () => {
      session.destroy();
      resolve();
    });
    stream.resume().end('{}');
  });
}

/** Over HTTP/1.1 and HTTP/2: a proxy has its own limits for each. */
async function askEither(url: string, count: number): Promise<void> {
  const fields = Object.fromEntries(Array.from({ length: count }, (_, n) => [`x-${n}`, '1']));
  const overHttp1 = new Promise<void>(resolve => {
    const headers = { 'content-type': 'application/json', 'content-length': '2', ...fields };
    const request = http.request(`${url}${PATH}`, { method: 'POST', headers });
    request.on('response', response => response.resume().on('close', resolve)).on('error', () => resolve());
    request.end('{}');
  });
  await Promise.all([overHttp1, ask(url, fields)]);
}

const PATH = '/grpc.health.v1.Health/Check';
const SECONDS = 60;
