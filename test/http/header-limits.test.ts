import { once } from 'node:events';
import http2 from 'node:http2';
import { describe, expect, it } from 'vitest';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';
import { sendRaw, statusOf } from '#test/support/raw-http.ts';

const many = (count: number) => Array.from({ length: count }, (_, i) => `x-${i}: ${i}\r\n`).join('');
const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}Connection: close\r\n\r\n`;

describe('an HTTP/1.1 request', () => {
  it.each([
    ['2,000 headers', get('/', many(2000)), 431, 'HEADERS_TOO_LARGE'],
    ['200 short headers', get('/', many(200)), 431, 'HEADERS_TOO_LARGE'],
    ['a header of 32 KB', get('/', `x: ${'a'.repeat(32_768)}\r\n`), 431, 'HEADERS_TOO_LARGE'],
    ['a URL of 20 KB', get(`/${'a'.repeat(20_000)}`), 431, 'HEADERS_TOO_LARGE'],
    ['a URL of 9 KB', get(`/?${'a'.repeat(9_000)}`), 414, 'URL_TOO_LONG'],
  ])('with %s is refused, counted and logged', async (_name, bytes, status, reason) => {
    await using port = await openPublicPort();
    const response = await sendRaw(port.port, bytes);
    expect(statusOf(response)).toBe(status);
    expect(response).toContain(`"reason":"${reason}"`);
    await expectCounted(port, reason, status);
    expect((await port.log.line({ refused: reason })).path).toHaveProperty(
      'length',
      expect.toSatisfy(n => n <= 256),
    );
  });

  it('with chunk extensions of 32 KB is refused; the call that it had begun is logged', async () => {
    await using port = await openPublicPort();
    const response = await sendRaw(port.port, chunkExtensions(32_768));
    expect(statusOf(response)).toBe(413);
    expect(response).toContain('"reason":"CHUNK_EXTENSIONS_TOO_LARGE"');
    const line = await port.log.line({ procedure: 'grpc.health.v1.Health/Check' });
    expect(line).toMatchObject({ aborted: true, code: 'canceled' });
  });

  it('with 120 headers gets through', async () => {
    await using port = await openPublicPort();
    expect(statusOf(await sendRaw(port.port, get('/nothing', many(120))))).toBe(404);
  });
});

describe('an HTTP/2 request', () => {
  it.each([
    [
      '2,000 headers',
      Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`x-${i}`, '1'])),
      431,
      'HEADERS_TOO_LARGE',
    ],
    ['a header of 32 KB', { x: 'a'.repeat(32_768) }, 431, 'HEADERS_TOO_LARGE'],
    ['a URL of 20 KB', { ':path': `/${'a'.repeat(20_000)}` }, 414, 'URL_TOO_LONG'],
  ])('with %s is refused, counted and logged', async (_name, headers, status, reason) => {
    await using port = await openPublicPort();
    const session = http2.connect(port.url, { maxSendHeaderBlockLength: 1_000_000 });
    const stream = session.request(headers);
    const [response] = await once(stream, 'response');
    expect(response[':status']).toBe(status);
    stream.resume();
    await once(stream, 'close');
    await expectCounted(port, reason, status);
    session.destroy();
  });

  it('with headers beyond what can be answered is reset, and the connection goes on', async () => {
    await using port = await openPublicPort();
    const session = http2.connect(port.url, { maxSendHeaderBlockLength: 1_000_000 });
    await once(session, 'remoteSettings');
    const stream = session.request({ x: 'a'.repeat(60_000), y: 'a'.repeat(60_000), z: 'a'.repeat(60_000) });
    stream.on('error', () => {});
    await new Promise(resolve => stream.on('close', resolve));
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    const next = session.request({ ':path': '/nothing' });
    const [response] = await once(next, 'response');
    expect(response[':status']).toBe(404);
    session.destroy();
  });
});

async function expectCounted(port: PublicPort, reason: string, status: number): Promise<void> {
  expect(await port.log.line({ refused: reason })).toMatchObject({ status });
  expect(await port.metric(`http_non_rpc_requests_total{reason="${reason}",status="${status}"}`)).toBe(1);
}

function chunkExtensions(bytes: number): string {
  const head = 'POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
  return `${head}Transfer-Encoding: chunked\r\n\r\n2;${'a'.repeat(bytes)}\r\n{}\r\n0\r\n\r\n`;
}
