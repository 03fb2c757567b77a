import { once } from 'node:events';
import http2 from 'node:http2';
import { describe, expect, it } from 'vitest';
import { HEADERS_MAX_BYTES } from '#src/http/guards/request-guard.ts';
import { connectRawHttp2, FLAG, FRAME, frame, headerBlock } from '#test/support/http2-frames.ts';
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

describe('the size of headers that HTTP/2 clients are told (SETTINGS_MAX_HEADER_LIST_SIZE)', () => {
  const call = {
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    ':authority': 'a',
    ':scheme': 'http',
    'content-type': 'application/json',
  };
  // RFC 9113, 6.5.2.
  const sizeOf = (fields: Readonly<Record<string, string>>) =>
    Object.entries(fields).reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);

  it.each([
    ['one field', (room: number) => ({ x: 'a'.repeat(room - 33) })],
    ['many fields', (room: number) => Object.fromEntries(Array.from({ length: room / 40 }, (_, n) => [`x-${n}`, 'a']))],
  ])('is answered in %s, and the connection goes on', async (_name, fill) => {
    await using port = await openPublicPort();
    const session = http2.connect(port.url, { maxSendHeaderBlockLength: 1_000_000 });
    const [{ maxHeaderListSize }] = await once(session, 'remoteSettings');
    const headers = { ...call, ...fill(maxHeaderListSize - sizeOf(call)) };
    expect(sizeOf(headers)).toBeLessThanOrEqual(maxHeaderListSize);
    const [response] = await once(session.request(headers), 'response');
    expect(response[':status']).toBe(431);
    const next = session.request(call);
    next.end('{}');
    expect((await once(next, 'response'))[0][':status']).toBe(200);
    session.destroy();
  });

  it.each([
    ['one field of 16 KiB', { x: 'a'.repeat(HEADERS_MAX_BYTES) }],
    ['450 short fields', Object.fromEntries(Array.from({ length: 450 }, (_, n) => [`x-${n}`, 'a']))],
  ])('leaves room for what is served: %s', async (_name, fields) => {
    await using port = await openPublicPort();
    const session = http2.connect(port.url);
    await once(session, 'remoteSettings');
    const stream = session.request({ ...call, ...fields });
    stream.end('{}');
    const [response] = await once(stream, 'response');
    expect(response[':status']).toBe(200);
    session.destroy();
  });
});

describe('an HTTP/2 field value', () => {
  it.each([
    ['a leading space', ' a'],
    ['a trailing space', 'a '],
    ['a leading tab', '\ta'],
    ['a trailing tab', 'a\t'],
    ['nothing but a space', ' '],
  ])('with %s is refused (RFC 9113, 8.2.1)', async (_name, value) => {
    expect(await callWith(value)).toEqual({ status: 400, refused: 'MALFORMED_REQUEST', seen: [] });
  });

  it.each([
    ['a space within', 'a b'],
    ['nothing', ''],
  ])('with %s gets to its call', async (_name, value) => {
    expect(await callWith(value)).toMatchObject({ status: 200, seen: [value] });
  });

  // nghttp2 drops such a field, and tells nobody: the request can't be refused. What must not be is that the value arrives.
  it.each([
    ['NUL', 'a\0b'],
    ['CR', 'a\rb'],
    ['LF', 'a\nb'],
  ])('with %s never gets to a call', async (_name, value) => {
    expect(await callWith(value)).toMatchObject({ status: 200, seen: [null] });
  });
});

/** What became of a call with this value: its status, and the value that its handler saw. */
async function callWith(value: string): Promise<Outcome> {
  const seen: (string | null)[] = [];
  await using port = await openPublicPort({
    posts: {
      getPost: (_, { requestHeader }) => {
        seen.push(requestHeader.get('x-note'));
        return {};
      },
    },
  });
  using client = await connectRawHttp2(port.port);
  const fields = { ':method': 'POST', ':scheme': 'http', ':path': '/blog.v1.PostService/GetPost', ':authority': 'a' };
  const head = headerBlock({ ...fields, 'content-type': 'application/proto', 'x-note': value });
  await client.send(frame(FRAME.headers, FLAG.endHeaders, 1, head), frame(FRAME.data, FLAG.endStream, 1));
  await client.frame(FRAME.headers, 1);
  const { status, refused } = await port.log.line({ msg: 'request' });
  return { status, refused, seen };
}

interface Outcome {
  readonly status: unknown;
  readonly refused: unknown;
  readonly seen: readonly (string | null)[];
}

async function expectCounted(port: PublicPort, reason: string, status: number): Promise<void> {
  expect(await port.log.line({ refused: reason })).toMatchObject({ status });
  expect(await port.metric(`http_non_rpc_requests_total{reason="${reason}",status="${status}"}`)).toBe(1);
}

function chunkExtensions(bytes: number): string {
  const head = 'POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
  return `${head}Transfer-Encoding: chunked\r\n\r\n2;${'a'.repeat(bytes)}\r\n{}\r\n0\r\n\r\n`;
}
