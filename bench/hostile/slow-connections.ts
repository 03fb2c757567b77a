import { connect } from 'node:net';
import { startAttacker } from './attacker.ts';
import { callAtConstantRate, goodClients } from './good-clients.ts';
import type { Verdict } from './verdict.ts';

/** H4: connections that send the first half of a head, then such that send the first half of a body, and wait. */
export async function attackSlowly(url: string): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const clients = goodClients(url);
  await callAtConstantRate(clients, AbortSignal.timeout(WARM_UP_MS));
  for (const name of Object.keys(HALVES)) {
    const attack = `${CONNECTIONS} slow connections: ${name}`;
    const over = new AbortController();
    const attacker = await startAttacker<SlowOutcome>(name, url, '127.0.0.2');
    void attacker.ended.then(() => over.abort());
    const { calls, failed, p99Ms } = await callAtConstantRate(clients, over.signal);
    const { held, longestMs } = await attacker.end();
    const good = `${calls - failed} of ${calls} good calls, p99 ${p99Ms.toFixed(1)} ms`;
    const figure = `${held} held, all closed in ${(longestMs / 1000).toFixed(1)} s`;
    const isMet = held === CONNECTIONS && longestMs <= 15_000;
    verdicts.push(
      { id: 'H4', attack, figure, target: '<= 15 s', isMet },
      { id: 'H4', attack, figure: good, target: '100 %', isMet: failed === 0 },
    );
  }
  return verdicts;
}

const HEAD = 'POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
/** What a slow client sends before it waits, by the name of the attack. */
export const HALVES: Readonly<Record<string, string>> = {
  headers: HEAD,
  bodies: `${HEAD}Content-Length: 100\r\n\r\n{`,
};

/** Opens the connections, and waits until the service has closed them all. */
export async function holdSlowly(port: number, address: string, bytes: string): Promise<SlowOutcome> {
  const lives = await Promise.all(Array.from({ length: CONNECTIONS }, () => holdOpen(port, address, bytes)));
  return { held: lives.filter(life => life > 0).length, longestMs: Math.max(...lives) };
}

export interface SlowOutcome {
  /** How many connections were accepted. */
  readonly held: number;
  readonly longestMs: number;
}

const CONNECTIONS = 2000;
const WARM_UP_MS = 2000;

/** For how long the service kept it, in milliseconds; 0: it was not accepted. */
function holdOpen(port: number, address: string, bytes: string): Promise<number> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: address });
    let begin: number | undefined;
    socket.on('connect', () => {
      begin = performance.now();
      socket.write(bytes);
    });
    socket.on('error', () => {}).on('close', () => resolve(begin === undefined ? 0 : performance.now() - begin));
    socket.resume();
  });
}
