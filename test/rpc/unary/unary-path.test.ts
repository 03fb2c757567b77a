import { once } from 'node:events';
import { connect } from 'node:net';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, type HandlerContext, type Transport } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GetPostResponseSchema, PostService } from '#gen/blog/v1/post_service_pb.js';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';
import { TRANSPORTS, type TransportName } from '#test/support/transports.ts';

const PROCEDURE = 'blog.v1.PostService/GetPost';
const LONG = 'long text '.repeat(2_000);
/** Frozen, as what a cache serves: its bytes are remembered. */
const KEPT = Object.freeze(create(GetPostResponseSchema, { post: { slug: 'kept', content: LONG } }));

const KNOWN = Object.freeze(create(GetPostResponseSchema, { post: { slug: 'known' } }));

let port: PublicPort;
let seen: HandlerContext | undefined;
let answeredAtOnce: boolean | undefined;

beforeAll(async () => {
  port = await openPublicPort({
    cacheControl: { [PROCEDURE]: 'public, max-age=5' },
    compressMinBytes: 1024,
    posts: {
      getPost: ({ key }, context) => {
        seen = context;
        switch (key.value) {
          case 'kept':
            return KEPT;
          case 'known':
            // The line is in the log as soon as the response has left.
            queueMicrotask(() => {
              const id = context.requestHeader.get('x-request-id');
              answeredAtOnce = port.log.lines.some(line => line.id === id);
            });
            return KNOWN;
          case 'later':
            return new Promise(() => {});
          case 'absent':
            throw new ConnectError('absent', Code.NotFound);
          case 'metadata':
            context.responseHeader.set('x-lead', context.requestHeader.get('x-ask') ?? '');
            context.responseHeader.set('x-lead-bin', 'AAEC');
            context.responseTrailer.set('x-trail', 'after');
            return {};
          case 'forbidden field':
            context.responseHeader.set('connection', 'x');
            context.responseHeader.set('proxy-connection', 'x');
            return {};
          default:
            return { post: { slug: key.value ?? '' } };
        }
      },
    },
  });
});
afterAll(() => port[Symbol.asyncDispose]());

describe('The fast path', () => {
  it.each(Object.keys(TRANSPORTS).filter(name => !name.startsWith('gRPC-Web')) as TransportName[])(
    'takes what a client sends by default: %s',
    async name => {
      const id = `takes-${name.replaceAll(/[^A-Za-z]/g, '')}`;
      const posts = clientBy(name, port.url);
      await posts.getPost({ key: { case: 'slug', value: 'x' } }, { headers: { 'x-request-id': id }, timeoutMs: 5_000 });
      expect(await port.log.line({ id })).not.toHaveProperty('adapted');
    },
  );

  it('leaves gRPC-Web to connect-node, and the log says so', async () => {
    const posts = clientBy('gRPC-Web over HTTP/1.1', port.url);
    await posts.getPost({ key: { case: 'slug', value: 'x' } }, { headers: { 'x-request-id': 'web' } });
    expect(await port.log.line({ id: 'web' })).toMatchObject({ adapted: true, protocol: 'grpc-web' });
  });

  it('can be turned off', async () => {
    await using slow = await openPublicPort({ fastPath: false, posts: { getPost: () => ({}) } });
    const posts = clientBy('gRPC over HTTP/2', slow.url);
    await posts.getPost({ key: { case: 'slug', value: 'x' } }, { headers: { 'x-request-id': 'off' } });
    expect(await slow.log.line({ id: 'off' })).toMatchObject({ adapted: true });
  });

  it.each(['Connect in JSON over HTTP/1.1', 'Connect over HTTP/2', 'gRPC over HTTP/2'] as const)(
    'carries metadata both ways: %s',
    async name => {
      const posts = clientBy(name, port.url);
      const [headers, trailers] = [new Headers(), new Headers()];
      await posts.getPost(
        { key: { case: 'slug', value: 'metadata' } },
        {
          headers: { 'x-ask': 'asked' },
          onHeader: given => collect(given, headers),
          onTrailer: given => collect(given, trailers),
        },
      );
      expect(headers.get('x-lead')).toBe('asked');
      expect(headers.get('x-lead-bin')).toBe('AAEC');
      expect(trailers.get('x-trail')).toBe('after');
    },
  );

  it.each(['Connect in protobuf over HTTP/1.1', 'Connect over HTTP/2'] as const)(
    'leaves out fields that HTTP does not allow a handler: %s',
    async name => {
      const posts = clientBy(name, port.url);
      expect(await posts.getPost({ key: { case: 'slug', value: 'forbidden field' } })).toMatchObject({});
    },
  );

  it.each(['Connect in protobuf over HTTP/1.1', 'gRPC over HTTP/2'] as const)(
    'aborts the signal of a handler whose client goes: %s',
    async name => {
      seen = undefined;
      const client = new AbortController();
      const posts = clientBy(name, port.url);
      const call = posts.getPost({ key: { case: 'slug', value: 'later' } }, { signal: client.signal });
      const failed = call.catch(ConnectError.from);
      while (seen === undefined) await new Promise(setImmediate);
      const { signal } = seen as HandlerContext;
      const aborted = once(signal, 'abort');
      client.abort();
      await aborted;
      expect(signal.reason).toMatchObject({ code: Code.Canceled });
      expect(await failed).toMatchObject({ code: Code.Canceled });
    },
  );

  it('answers at the deadline although the handler goes on, and aborts its signal', async () => {
    const posts = clientBy('gRPC over HTTP/2', port.url);
    const call = posts.getPost({ key: { case: 'slug', value: 'later' } }, { timeoutMs: 40 });
    await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    await expect.poll(() => seen?.signal.aborted).toBe(true);
  });

  it('does not abort the signal of a call that ended well', async () => {
    const posts = clientBy('Connect over HTTP/2', port.url);
    await posts.getPost({ key: { case: 'slug', value: 'x' } });
    expect(seen?.signal.aborted).toBe(false);
  });

  it('answers requests that come one behind the other in their order', async () => {
    const socket = connect(port.port);
    const one = (slug: string) => {
      const body = JSON.stringify({ slug });
      return `POST /${PROCEDURE} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    };
    socket.write(one('first') + one('absent') + one('third'));
    let text = '';
    for await (const chunk of socket) {
      text += chunk;
      if (text.includes('third')) break;
    }
    expect(text.match(/first|"code":"not_found"|third/g)).toEqual(['first', '"code":"not_found"', 'third']);
  });

  it.each(['Connect in protobuf over HTTP/1.1', 'gRPC over HTTP/2'] as const)(
    'answers what is known at once in the same tick: %s',
    async name => {
      answeredAtOnce = undefined;
      const posts = clientBy(name, port.url);
      await posts.getPost(
        { key: { case: 'slug', value: 'known' } },
        { headers: { 'x-request-id': `at-once-${name.length}` } },
      );
      expect(answeredAtOnce).toBe(true);
    },
  );
});

describe('An answer to GET', () => {
  it('has a strong entity tag, and what caches need to know', async () => {
    const { status, headers } = await get('x');
    expect(status).toBe(200);
    expect(headers.get('etag')).toMatch(/^"[\w-]+"$/);
    expect(headers.get('vary')).toBe('Accept-Encoding');
    expect(headers.get('cache-control')).toBe('public, max-age=5');
  });

  it.each([(etag: string) => etag, (etag: string) => `W/${etag}`, (etag: string) => `"other", ${etag}`, () => '*'])(
    'is 304, without a body, to a client that has it already: %s',
    async conditionOf => {
      const etag = (await get('x')).headers.get('etag') as string;
      const response = await get('x', { 'if-none-match': conditionOf(etag) });
      expect([response.status, await response.text()]).toEqual([304, '']);
      expect(response.headers.get('etag')).toBe(etag);
      expect(response.headers.get('cache-control')).toBe('public, max-age=5');
    },
  );

  it('is 200 where the message is another by now', async () => {
    const etag = (await get('x')).headers.get('etag') as string;
    expect((await get('y', { 'if-none-match': etag })).status).toBe(200);
  });

  it('has no body to HEAD, and else the same', async () => {
    const [full, head] = [await get('x'), await get('x', {}, 'HEAD')];
    expect([head.status, await head.text()]).toEqual([200, '']);
    for (const name of ['etag', 'content-length', 'content-type', 'vary']) {
      expect(head.headers.get(name)).toBe(full.headers.get(name));
    }
  });

  it('is compressed only for a client that asks, and has another tag then', async () => {
    const plain = await get('kept', { 'accept-encoding': 'identity' });
    const zipped = await get('kept', { 'accept-encoding': 'gzip' });
    const refused = await get('kept', { 'accept-encoding': 'gzip;q=0' });
    expect([plain, zipped, refused].map(({ headers }) => headers.get('content-encoding'))).toEqual([
      null,
      'gzip',
      null,
    ]);
    expect(zipped.headers.get('etag')).not.toBe(plain.headers.get('etag'));
    expect(refused.headers.get('etag')).toBe(plain.headers.get('etag'));
    expect(await zipped.text()).toBe(await plain.text());
  });

  it('is kept by no cache where it is an error', async () => {
    const { status, headers } = await get('absent');
    expect([status, headers.get('cache-control'), headers.get('etag')]).toEqual([404, 'no-store', null]);
  });
});

function clientBy(name: TransportName, url: string) {
  const open: (url: string, options: undefined) => Transport = TRANSPORTS[name];
  return createClient(PostService, open(url, undefined));
}

function collect(given: Headers, into: Headers): void {
  for (const [name, value] of given) into.set(name, value);
}

function get(slug: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> {
  const message = encodeURIComponent(JSON.stringify({ slug }));
  const url = `${port.url}/${PROCEDURE}?connect=v1&encoding=json&message=${message}`;
  return fetch(url, { method, headers: { 'accept-encoding': 'identity', ...headers } });
}
