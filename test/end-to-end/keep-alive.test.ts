import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { gzipSync } from 'node:zlib';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';
import { envelope } from '#test/support/raw-rpc.ts';

const PATH = '/blog.v1.PostService/GetPost';
const QUERY = '?connect=v1&encoding=json&message=';
const JSON_TYPE = { 'content-type': 'application/json' };

let port: PublicPort;
beforeAll(async () => {
  port = await openPublicPort({
    requestMaxBytes: 1024,
    posts: {
      getPost: ({ key }) => {
        if (key.value === 'absent') throw new ConnectError('absent', Code.NotFound);
        return { post: { slug: key.value ?? '' } };
      },
    },
  });
});
afterAll(() => port[Symbol.asyncDispose]());

const FIRST: readonly [what: string, status: number, request: Request][] = [
  ['an error of the handler', 404, { headers: JSON_TYPE, body: '{"slug":"absent"}' }],
  ['a message that is no JSON', 400, { headers: JSON_TYPE, body: '{' }],
  [
    'a message that is too large as inflated',
    429,
    { headers: { ...JSON_TYPE, 'content-encoding': 'gzip' }, body: gzipSync(Buffer.alloc(50_000)) },
  ],
  ['a message that is a little too large', 429, { headers: JSON_TYPE, body: ' '.repeat(2000) }],
  ['a compression that is not known', 501, { headers: { ...JSON_TYPE, 'content-encoding': 'zstd' }, body: '{}' }],
  ['a media type that is not taken', 415, { headers: { 'content-type': 'text/plain' }, body: '{}' }],
  ['a timeout that is none', 400, { headers: { ...JSON_TYPE, 'connect-timeout-ms': 'soon' }, body: '{}' }],
  ['an error to GET', 404, { method: 'GET', query: `${QUERY}{"slug":"absent"}` }],
  ['a query that is none', 415, { method: 'GET', query: '?x' }],
  ['an answer to HEAD', 200, { method: 'HEAD', query: `${QUERY}{}` }],
  ['an error to HEAD', 404, { method: 'HEAD', query: `${QUERY}{"slug":"absent"}` }],
  ['a 304', 304, { method: 'GET', query: `${QUERY}{}`, headers: { 'if-none-match': '*' } }],
];

describe('A connection of HTTP/1.1', () => {
  it.each(FIRST)(
    'takes the next call after %s (%i)',
    async (_, status, { method = 'POST', query = '', headers, body }) => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      const first = http.request(port.url + PATH + encodeURI(query), { method, agent, headers: headers ?? {} });
      const [refused] = (await once(first.end(body), 'response')) as [http.IncomingMessage];
      await refused.toArray();
      expect(refused.statusCode).toBe(status);
      const second = http.request(port.url + PATH, { method: 'POST', agent, headers: JSON_TYPE });
      const [response] = (await once(second.end('{"slug":"next"}'), 'response')) as [http.IncomingMessage];
      expect(Buffer.concat(await response.toArray()).toString()).toBe('{"post":{"slug":"next"}}');
      expect(second.reusedSocket).toBe(true);
      agent.destroy();
    },
  );
});

describe('A connection of HTTP/2', () => {
  it.each([
    ['an error of the handler', envelope(Buffer.from('{"slug":"absent"}'))],
    ['a message that is no JSON', envelope(Buffer.from('{'))],
    ['a message that is cut short', envelope(Buffer.from('{}'), 0, 9)],
    ['a message that is too large', envelope(Buffer.alloc(2000))],
    ['no message', Buffer.alloc(0)],
  ])('takes the next call after %s', async (_, body) => {
    const session = http2.connect(port.url);
    const ask = async (message: Buffer) => {
      const stream = session.request({ ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc+json' });
      let status: unknown;
      for (const event of ['response', 'trailers']) stream.on(event, fields => (status ??= fields['grpc-status']));
      stream.end(message);
      return { body: Buffer.concat(await stream.toArray()), status: () => status };
    };
    expect((await ask(body)).status()).toMatch(/^[1-9]/);
    const next = await ask(envelope(Buffer.from('{"slug":"next"}')));
    expect(next.status()).toBe('0');
    expect(next.body.subarray(5).toString()).toBe('{"post":{"slug":"next"}}');
    session.destroy();
  });
});

interface Request {
  readonly method?: string;
  readonly query?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}
