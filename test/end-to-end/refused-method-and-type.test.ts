import { once } from 'node:events';
import http2 from 'node:http2';
import { describe, expect, it } from 'vitest';
import { openPublicPort } from '#test/support/public-port.ts';

const CHECK = '/grpc.health.v1.Health/Check';

describe('a call of an existing RPC', () => {
  it.each([
    ['with a method that it does not take', { method: 'GET' }, 405, 'unimplemented', 'METHOD_NOT_ALLOWED'],
    [
      'with a media type that it does not take',
      { method: 'POST', headers: { 'content-type': 'application/xml' }, body: '<a/>' },
      415,
      'invalid_argument',
      'UNSUPPORTED_MEDIA_TYPE',
    ],
  ])('%s is an error in JSON, with its ErrorInfo', async (_, init, status, code, reason) => {
    await using port = await openPublicPort();
    expect(await refusalOf(await fetch(port.url + CHECK, init))).toEqual({ status, code, reason });
  });

  it.each([
    ['with the fast path', true],
    ['without it', false],
  ])('with HEAD over HTTP/2, where it is refused, has a head and a line in the log: %s', async (_, fastPath) => {
    await using port = await openPublicPort({ fastPath });
    const session = http2.connect(port.url);
    const stream = session.request({ ':method': 'HEAD', ':path': CHECK, 'x-request-id': 'head' });
    const [head] = await once(stream, 'response');
    expect(head).toMatchObject({ ':status': 405, 'content-type': 'application/json' });
    expect(await stream.toArray()).toEqual([]);
    expect(await port.log.line({ id: 'head' })).toMatchObject({ status: 405, bytesOut: 0, aborted: false });
    session.destroy();
  });
});

async function refusalOf(response: Response) {
  expect(response.headers.get('content-type')).toBe('application/json');
  const { code, details } = (await response.json()) as { code: string; details: { debug: { reason: string } }[] };
  expect(details.map(({ debug }) => debug)).toEqual([{ reason: expect.any(String), domain: 'blog.v1.PostService' }]);
  return { status: response.status, code, reason: details[0]?.debug.reason };
}
