import { setTimeout as delay } from 'node:timers/promises';
import { connectRawHttp2, FLAG, FRAME, frame, headerBlock, setting } from '#test/support/http2-frames.ts';
import { callAtConstantRate } from './good-clients.ts';
import type { Verdict } from './verdict.ts';

/** H5: each flood for some seconds, by one client that connects again when it is closed. */
export async function attackWithFloods(url: string): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const port = Number(new URL(url).port);
  await calm(url);
  for (const [attack, piece] of Object.entries(FLOODS)) {
    const before = await calm(url);
    const over = AbortSignal.timeout(ATTACK_MS);
    const good = callAtConstantRate(url, over);
    let closed = 0;
    while (!over.aborted) {
      using client = await connectRawHttp2(port, [], '127.0.0.2');
      let isOpen = true;
      void client.closed.then(() => {
        isOpen = false;
      });
      for (let round = 0; isOpen && !over.aborted; round++) {
        await client.send(...piece(round));
        await new Promise(setImmediate);
      }
      if (!isOpen) closed++;
    }
    const { calls, failed, p99Ms } = await good;
    const ratio = p99Ms / before;
    const figure = `p99 ${p99Ms.toFixed(1)} ms against ${before.toFixed(1)} ms, ${ratio.toFixed(2)}x; ${failed} of ${calls} failed`;
    verdicts.push(
      { id: 'H5', attack, figure: `closed ${closed} times`, target: 'session closed', isMet: closed > 0 },
      { id: 'H5', attack, figure, target: '<= 2x', isMet: ratio <= 2 && failed === 0 },
    );
  }
  return verdicts;
}

const ATTACK_MS = 5000;
const HEADERS = headerBlock({
  ':method': 'POST',
  ':scheme': 'http',
  ':path': '/grpc.health.v1.Health/Check',
  ':authority': 'a',
  'content-type': 'application/grpc',
});
const CANCEL = Buffer.from([0, 0, 0, 8]);
const times = (count: number, bytes: Buffer) => Array.from({ length: count }, () => bytes);
const FLOODS: Readonly<Record<string, (round: number) => Buffer[]>> = {
  'rapid reset': round =>
    Array.from({ length: 100 }, (_, i) => 1 + 2 * (round * 100 + i)).flatMap(id => [
      frame(FRAME.headers, FLAG.endHeaders, id, HEADERS),
      frame(FRAME.rstStream, 0, id, CANCEL),
    ]),
  'CONTINUATION flood': round => [
    ...(round === 0 ? [frame(FRAME.headers, FLAG.none, 1, HEADERS)] : []),
    ...times(100, frame(FRAME.continuation, FLAG.none, 1, headerBlock({ x: 'y' }))),
  ],
  'ping flood': () => times(100, frame(FRAME.ping, FLAG.none, 0, Buffer.alloc(8))),
  'settings flood': () => times(100, frame(FRAME.settings, FLAG.none, 0, setting(3, 100))),
};

async function calm(url: string): Promise<number> {
  await delay(500);
  return (await callAtConstantRate(url, AbortSignal.timeout(ATTACK_MS))).p99Ms;
}
