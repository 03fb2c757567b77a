import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { createClient, type Transport } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { GetPostRequestSchema, PostService } from '#gen/blog/v1/post_service_pb.js';
import { ByteBudget } from '#src/resilience/byte-budget.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';
import { PIECE_BYTES } from '#src/wire/pieces.ts';
import { connectRawHttp2, FLAG, FRAME, frame, headerBlock, setting } from '#test/support/http2-frames.ts';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { ERROR_ENCODINGS, TRANSPORTS } from '#test/support/transports.ts';

const MIB = 1024 * 1024;
const LARGE = 'x'.repeat(MIB);
const GET = '/blog.v1.PostService/GetPost?encoding=json&message=%7B%22slug%22%3A%22large%22%7D';
const INITIAL_WINDOW_SIZE = 4;
const STALLED = 'http_connections_ended_total{reason="STALLED"}';

describe.each([true, false])('Beyond the budget of large answers, fast path %s', fastPath => {
  it.each(ERROR_ENCODINGS)('a large one is refused as overload, and a small one is not, by %s', async name => {
    await using port = await openPort({ fastPath });
    const client = createClient(PostService, transportOf(name, port.url));
    port.budget.take(port.maxBytes);
    expect(await failureOf(client.getPost({ key: { case: 'slug', value: 'large' } }))).toMatchObject({
      code: 'unavailable',
      reason: 'OVERLOADED',
      retryDelayMs: expect.any(Number),
    });
    const small = await client.getPost({ key: { case: 'slug', value: 'small' } });
    expect(small.post?.content).toBe('x');
  });

  it.each(ERROR_ENCODINGS)('what is there when others have given theirs back, by %s', async name => {
    await using port = await openPort({ fastPath });
    const client = createClient(PostService, transportOf(name, port.url));
    for (let n = 0; n < 10; n++) {
      const { post } = await client.getPost({ key: { case: 'slug', value: 'large' } });
      expect(post?.content === LARGE).toBe(true);
    }
    await expect.poll(() => port.budget.taken).toBe(0);
  });

  it('the answer to a write is not refused', async () => {
    await using port = await openPort({ fastPath });
    const client = createClient(PostService, transportOf('gRPC over HTTP/2', port.url));
    port.budget.take(port.maxBytes);
    const { post } = await client.createPost({ post: { title: 'A', content: 'x' } });
    expect(post?.content === LARGE).toBe(true);
  });

  it('one whose reader takes nothing for a second makes room for the next', async () => {
    await using port = await openPort({ fastPath });
    const client = createClient(PostService, transportOf('gRPC over HTTP/2', port.url));
    using stalled = await connectRawHttp2(port.port, [setting(INITIAL_WINDOW_SIZE, 0)]);
    const fields = {
      ':method': 'POST',
      ':scheme': 'http',
      ':path': '/blog.v1.PostService/GetPost',
      ':authority': 'a',
      'content-type': 'application/grpc',
      te: 'trailers',
    };
    const message = toBinary(
      GetPostRequestSchema,
      create(GetPostRequestSchema, { key: { case: 'slug', value: 'large' } }),
    );
    const body = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
    await stalled.send(
      frame(FRAME.headers, FLAG.endHeaders, 1, headerBlock(fields)),
      frame(FRAME.data, FLAG.endStream, 1, body),
    );
    await expect.poll(() => port.budget.taken).toBeGreaterThan(0);
    port.budget.take(port.maxBytes - port.budget.taken);
    const ask = () => client.getPost({ key: { case: 'slug', value: 'large' } });
    expect(await failureOf(ask())).toMatchObject({ reason: 'OVERLOADED' });
    port.clock.ms += 1000;
    expect((await ask()).post?.content === LARGE).toBe(true);
    expect(await port.metric(STALLED)).toBe(1);
  });
});

describe('A reader of a large answer', () => {
  it('gets all of it when it is slow, whoever else wants the memory', async () => {
    await using port = await openPort({});
    const session = http2.connect(port.url);
    const stream = session.request({ ':path': GET.replace('large', 'largest') });
    const [fields] = await once(stream, 'response');
    port.budget.take(port.maxBytes - port.budget.taken);
    let length = 0;
    for await (const chunk of stream) {
      length += chunk.length;
      // A piece takes a third of a second, all of it half a minute, and another one wants the memory all the time.
      port.clock.ms += (300 * chunk.length) / PIECE_BYTES;
      if (length < 7 * MIB) expect(() => port.budget.take(8 * MIB)).toThrow(OverloadedError);
    }
    expect(length).toBe(Number(fields['content-length']));
    expect(await port.metric(STALLED)).toBe(0);
    session.destroy();
  });

  it('gives back the memory when its connection is gone', async () => {
    await using port = await openPort({});
    const socket = connect(port.port, '127.0.0.1');
    socket.pause().write(`GET ${GET.replace('large', 'largest')} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await expect.poll(() => port.budget.taken).toBeGreaterThan(0);
    socket.destroy();
    await expect.poll(() => port.budget.taken).toBe(0);
  });

  it('gets it compressed where it says that it can read that', async () => {
    await using port = await openPort({});
    for (const encoding of ['gzip', 'br']) {
      const response = await fetch(`${port.url}${GET}`, { headers: { 'accept-encoding': encoding } });
      expect(response.headers.get('content-encoding')).toBe(encoding);
      expect(await response.json()).toEqual({ post: { content: LARGE } });
    }
    await expect.poll(() => port.budget.taken).toBe(0);
  });

  it('gets 304 for its entity tag, and the same length for HEAD', async () => {
    await using port = await openPort({});
    const ask = (init: RequestInit) =>
      fetch(`${port.url}${GET}`, { ...init, headers: { 'accept-encoding': 'identity', ...init.headers } });
    const first = await ask({});
    const body = await first.arrayBuffer();
    const etag = first.headers.get('etag') ?? '';
    expect((await ask({ headers: { 'if-none-match': etag } })).status).toBe(304);
    const head = await ask({ method: 'HEAD' });
    expect([head.headers.get('content-length'), head.headers.get('etag')]).toEqual([String(body.byteLength), etag]);
    await expect.poll(() => port.budget.taken).toBe(0);
  });
});

function transportOf(name: keyof typeof TRANSPORTS, url: string): Transport {
  return (TRANSPORTS[name] as (url: string) => Transport)(url);
}

async function openPort({
  fastPath = true,
}: {
  readonly fastPath?: boolean;
}): Promise<PublicPort & { readonly budget: ByteBudget; readonly maxBytes: number; readonly clock: { ms: number } }> {
  const clock = { ms: 0 };
  const maxBytes = 16 * MIB;
  let port: PublicPort;
  const budget = new ByteBudget({
    maxBytes,
    now: () => clock.ms,
    onStalled: () => port.metrics.connectionEnded('STALLED'),
  });
  const content = { large: LARGE, largest: LARGE.repeat(8), small: 'x' } as Readonly<Record<string, string>>;
  port = await openPublicPort({
    fastPath,
    largeAnswers: budget,
    posts: {
      getPost: ({ key }) => ({ post: { content: content[key.value ?? ''] ?? '' } }),
      createPost: () => ({ post: { content: LARGE } }),
    },
  });
  return { ...port, budget, maxBytes, clock };
}
