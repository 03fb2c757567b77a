import { setTimeout as delay } from 'node:timers/promises';
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
import { quartiles } from '../quartiles.ts';
import { startAttacker } from './attacker.ts';
import { callAtConstantRate, goodClients } from './good-clients.ts';
import type { Verdict } from './verdict.ts';

/** H5: each flood in turns with calm, by one client that connects again at once when it is closed. */
export async function attackWithFloods(url: string): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const clients = goodClients(url);
  await callAtConstantRate(clients, AbortSignal.timeout(SLICE_MS));
  for (const [number, attack] of Object.keys(FLOODS).entries()) {
    const ratios: number[] = [];
    const p99s: number[] = [];
    let [sessions, closed, refused, failed, calls] = [0, 0, 0, 0, 0];
    for (let round = 0; round < ROUNDS; round++) {
      const before = await callAtConstantRate(clients, AbortSignal.timeout(SLICE_MS));
      const attacker = await startAttacker<FloodOutcome>(attack, url, `127.0.${number + 1}.${round + 1}`);
      const during = await callAtConstantRate(clients, AbortSignal.timeout(SLICE_MS));
      const outcome = await attacker.end();
      ratios.push(during.p99Ms / before.p99Ms);
      p99s.push(during.p99Ms);
      failed += before.failed + during.failed;
      calls += before.calls + during.calls;
      sessions += outcome.sessions;
      closed += outcome.closed;
      refused += outcome.refused;
      await delay(SETTLE_MS);
    }
    const { median } = quartiles(ratios);
    const ended = `${closed} of ${sessions} sessions closed, ${refused} connections refused`;
    const figure = `p99 ${quartiles(p99s).median.toFixed(1)} ms, ${median.toFixed(2)}x of that in calm; ${failed} of ${calls} failed`;
    verdicts.push(
      { id: 'H5', attack, figure: ended, target: 'session closed', isMet: closed > 0 },
      { id: 'H5', attack, figure, target: '<= 2x', isMet: median <= 2 && failed === 0 },
    );
  }
  return verdicts;
}

/** Floods from a local address until it is told to stop; connects again as soon as it is closed or refused. */
export async function flood(port: number, address: string, piece: Flood, over: AbortSignal): Promise<FloodOutcome> {
  const outcome = { sessions: 0, closed: 0, refused: 0 };
  while (!over.aborted) {
    using client = await connectRawHttp2(port, piece.settings ?? [], address).catch(() => undefined);
    if (client === undefined || client.frames.length === 0) {
      outcome.refused++;
      await new Promise(setImmediate);
      continue;
    }
    outcome.sessions++;
    let isOpen = true;
    void client.closed.then(() => {
      isOpen = false;
    });
    for (let round = 0; isOpen && !over.aborted; round++) {
      await Promise.race([client.send(...piece.round(round)), aborted(over)]);
      await new Promise(setImmediate);
    }
    if (!isOpen) outcome.closed++;
  }
  return outcome;
}

const ROUNDS = 3;
const SLICE_MS = 15_000;
const SETTLE_MS = 200;

const EMPTY_CALL = Buffer.alloc(5);
const times = (count: number, bytes: Buffer) => Array.from({ length: count }, () => bytes);
const streamIds = (round: number) => Array.from({ length: 100 }, (_, i) => 1 + 2 * (round * 100 + i));

/** What each flood repeats. */
export const FLOODS: Readonly<Record<string, Flood>> = {
  'rapid reset': {
    round: round =>
      streamIds(round).flatMap(id => [
        frame(FRAME.headers, FLAG.endHeaders, id, HEALTH_CHECK),
        frame(FRAME.rstStream, 0, id, CANCEL),
      ]),
  },
  'CONTINUATION flood': {
    round: round => [
      ...(round === 0 ? [frame(FRAME.headers, FLAG.none, 1, HEALTH_CHECK)] : []),
      ...times(100, frame(FRAME.continuation, FLAG.none, 1, headerBlock({ x: 'y' }))),
    ],
  },
  'ping flood': { round: () => times(100, frame(FRAME.ping, FLAG.none, 0, Buffer.alloc(8))) },
  'settings flood': { round: () => times(100, frame(FRAME.settings, FLAG.none, 0, setting(3, 100))) },
  'zero windows': {
    settings: [setting(4, 0)],
    round: round =>
      streamIds(round).flatMap(id => [
        frame(FRAME.headers, FLAG.endHeaders, id, HEALTH_CHECK),
        frame(FRAME.data, FLAG.endStream, id, EMPTY_CALL),
      ]),
  },
};

export interface Flood {
  readonly settings?: readonly Buffer[];
  readonly round: (round: number) => Buffer[];
}

export interface FloodOutcome {
  readonly sessions: number;
  /** How many of them the service closed. */
  readonly closed: number;
  /** Connections that were cut before the service's first frame. */
  readonly refused: number;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }));
}
