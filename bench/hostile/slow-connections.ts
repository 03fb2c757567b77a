import { connect } from 'node:net';
import { callAtConstantRate } from './good-clients.ts';
import type { Verdict } from './verdict.ts';

/** H4: connections that send the first half of a head, then such that send the first half of a body, and wait. */
export async function attackSlowly(url: string): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const [name, bytes] of Object.entries(HALVES)) {
    const attack = `${CONNECTIONS} slow connections: ${name}`;
    const over = new AbortController();
    const good = callAtConstantRate(url, over.signal);
    const lives = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => holdOpen(Number(new URL(url).port), bytes)),
    );
    over.abort();
    const { calls, failed, p99Ms } = await good;
    const longest = Math.max(...lives) / 1000;
    verdicts.push(
      { id: 'H4', attack, figure: `closed in ${longest.toFixed(1)} s`, target: '<= 15 s', isMet: longest <= 15 },
      {
        id: 'H4',
        attack,
        figure: `${calls - failed} of ${calls} good calls, p99 ${p99Ms.toFixed(1)} ms`,
        target: '100 %',
        isMet: failed === 0,
      },
    );
  }
  return verdicts;
}

const CONNECTIONS = 2000;
const HEAD = 'POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
const HALVES = { headers: HEAD, bodies: `${HEAD}Content-Length: 100\r\n\r\n{` };

/** For how long the service kept it, in milliseconds. */
function holdOpen(port: number, bytes: string): Promise<number> {
  return new Promise(resolve => {
    // The good clients have another address: one address may have just so many connections.
    const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    let begin = performance.now();
    socket.on('connect', () => {
      begin = performance.now();
      socket.write(bytes);
    });
    socket.on('error', () => {}).on('close', () => resolve(performance.now() - begin));
    socket.resume();
  });
}
