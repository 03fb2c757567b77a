import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RawHttp2Client } from '#test/support/http2-frames.ts';
import { CANCEL, connectRawHttp2, FLAG, FRAME, frame, headerBlock } from '#test/support/http2-frames.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const WATCHES = 20;

/** How a client goes that has watches open. */
const ENDS: Readonly<Record<string, (client: RawHttp2Client) => unknown>> = {
  'half-closes its connection (FIN)': ({ socket }) => socket.end(),
  'resets its connection (RST)': ({ socket }) => socket.resetAndDestroy(),
  'sends a GOAWAY and closes': ({ socket }) => socket.end(goaway(0)),
  'sends a GOAWAY with its own id and closes': ({ socket }) => socket.end(goaway(1)),
  'resets each stream (CANCEL)': client => client.send(...resets(CANCEL)),
  // As Node's client does that closes its session, and then destroys it.
  'resets each stream (NO_ERROR)': client => client.send(...resets(Buffer.alloc(4))),
};

describe('20 watches of posts over one connection', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startTestService();
  });
  afterAll(() => service?.[Symbol.asyncDispose]());

  it.each(
    Object.entries(ENDS).flatMap(([end, go]) =>
      ['application/grpc', 'application/connect+json'].map(type => [end, type, go] as const),
    ),
  )('whose client %s count as canceled (%s)', async (_end, contentType, go) => {
    const before = service.log.lines.length;
    using client = await connectRawHttp2(Number(new URL(service.url).port));
    const head = headerBlock({
      ':method': 'POST',
      ':scheme': 'http',
      ':path': '/blog.v1.PostService/WatchPosts',
      ':authority': 'a',
      'content-type': contentType,
    });
    const message = Buffer.from(contentType.endsWith('json') ? '{}' : '');
    const body = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
    for (let n = 0; n < WATCHES; n++) {
      await client.send(frame(FRAME.headers, FLAG.endHeaders, 2 * n + 1, head));
      await client.send(frame(FRAME.data, FLAG.endStream, 2 * n + 1, body));
    }
    for (let n = 0; n < WATCHES; n++) await client.frame(FRAME.data, 2 * n + 1);
    await go(client);
    const ended = () => service.log.lines.slice(before).filter(({ procedure }) => procedure !== undefined);
    await expect.poll(() => ended().length).toBe(WATCHES);
    expect(ended().map(({ code }) => code)).toEqual(Array.from({ length: WATCHES }, () => 'canceled'));
  });
});

function resets(code: Buffer): Buffer[] {
  return Array.from({ length: WATCHES }, (_, n) => frame(FRAME.rstStream, FLAG.none, 2 * n + 1, code));
}

function goaway(lastStreamId: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastStreamId);
  return frame(FRAME.goaway, FLAG.none, 0, payload);
}
