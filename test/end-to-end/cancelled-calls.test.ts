import { describe, expect, it } from 'vitest';
import { STREAM_RESETS } from '#src/wire/stream-resets.ts';
import { CANCEL, connectRawHttp2, FLAG, FRAME, frame, HEALTH_CHECK, headerBlock } from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';

const AT_ONCE = 100;
const ROUNDS = STREAM_RESETS.burst / AT_ONCE - 1;
const WATCH = headerBlock({
  ':method': 'POST',
  ':scheme': 'http',
  ':path': '/grpc.health.v1.Health/Watch',
  ':authority': 'a',
  'content-type': 'application/grpc',
});

describe('calls that their client cancels', () => {
  it.each([
    ['when they run', true],
    ['before they were read', false],
  ])('%s leave the connection to its other calls', async (_, isAwaited) => {
    await using port = await openPublicPort({ connections: { perAddress: 100 } });
    using client = await connectRawHttp2(port.port);
    let id = -1;
    const begin = (header: Buffer) => {
      id += 2;
      return [
        frame(FRAME.headers, FLAG.endHeaders, id, header),
        frame(FRAME.data, FLAG.endStream, id, Buffer.alloc(5)),
      ];
    };
    for (let round = 0; round < ROUNDS; round++) {
      const first = id + 2;
      const calls = Array.from({ length: AT_ONCE }, () => begin(WATCH)).flat();
      const resets = Array.from({ length: AT_ONCE }, (_, n) => frame(FRAME.rstStream, 0, first + 2 * n, CANCEL));
      if (isAwaited) {
        await client.send(...calls);
        await client.frame(FRAME.data, id);
        await client.send(...resets);
      } else await client.send(...calls, ...resets);
      await client.send(...begin(HEALTH_CHECK));
      await client.frame(FRAME.data, id);
    }
    expect(client.socket.destroyed).toBe(false);
    expect((await port.metrics.render()).text).not.toMatch(/^http_connections_(ended|refused)_total\{/m);
  });
});
