import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import { describe, expect, it } from 'vitest';
import { mutateHost, seededRandom } from '#test/support/mutated-hosts.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, sendRaw, statusOf } from '#test/support/raw-http.ts';

/** What kills a server of bare connect-node 2.2, by what is wrong with it. */
const LETHAL: Readonly<Record<string, string>> = {
  'a Host with a forbidden character': healthCheck('Host: foo|bar\r\n'),
  'an empty Host': healthCheck('Host:\r\n'),
  'a Host with a port above 65535': healthCheck('Host: a:99999\r\n'),
  'a Host with half an IPv6 address': healthCheck('Host: [::1\r\n'),
  'HTTP/1.0 without Host': healthCheck('').replace('HTTP/1.1', 'HTTP/1.0'),
};

describe.each(Object.entries(LETHAL))('%s', (_name, bytes) => {
  it('kills a bare connect-node server', async () => {
    await using server = await startBareConnectNode();
    expect(statusOf(await sendRaw(server.port, healthCheck('Host: x\r\n')))).toBe(200);
    await sendRaw(server.port, bytes);
    expect(await server.exitCode).toBe(1);
  });

  it('is 400 here, and the next request is answered', async () => {
    await using port = await openPublicPort();
    expect(statusOf(await sendRaw(port.port, bytes))).toBe(400);
    expect(statusOf(await sendRaw(port.port, healthCheck('Host: x\r\n')))).toBe(200);
  });
});

describe('a request over HTTP/1.1', () => {
  it.each([
    ['without Host', healthCheck('')],
    ['with two Hosts', healthCheck('Host: a\r\nhost: b\r\n')],
    ['with the same Host twice', healthCheck('Host: a\r\nHost: a\r\n')],
    ['with user information in Host', healthCheck('Host: user@a\r\n')],
    ['with a path in Host', healthCheck('Host: a/b\r\n')],
    ['with a query in Host', healthCheck('Host: a?b\r\n')],
    ['with a bad IPv6 address', healthCheck('Host: [1:2]\r\n')],
    ['with an escaped control character in Host', healthCheck('Host: a%00b\r\n')],
    ['with half an escape in Host', healthCheck('Host: a%0\r\n')],
    ['with bytes above ASCII in Host', healthCheck('Host: \xe4\xf6\r\n')],
    ['with two Hosts in one', healthCheck('Host: a, b\r\n')],
    ['with a Host of 300 characters', healthCheck(`Host: ${'a'.repeat(300)}\r\n`)],
    ['in absolute form with a bad host', healthCheck('Host: a\r\n').replace('POST /', 'POST http://a:99999/')],
    ['in absolute form with user information', healthCheck('Host: a\r\n').replace('POST /', 'POST http://u@a/')],
    ['in absolute form without Host', healthCheck('').replace('POST /', 'POST http://a/')],
    ['in absolute form with another scheme', healthCheck('Host: a\r\n').replace('POST /', 'POST ftp://a/')],
    ['in asterisk form with POST', healthCheck('Host: a\r\n').replace(/POST \S+/, 'POST *')],
    ['of HTTP/2.0 over HTTP/1.1', healthCheck('Host: a\r\n').replace('HTTP/1.1', 'HTTP/2.0')],
    ['of HTTP/2.0 without Host', healthCheck('').replace('HTTP/1.1', 'HTTP/2.0')],
    ['in authority form', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n'],
    ['of HTTP/1.0', healthCheck('Host: a\r\n').replace('HTTP/1.1', 'HTTP/1.0')],
    ['of HTTP/0.9', 'GET /\r\n\r\n'],
    ['of HTTP/3.0', healthCheck('Host: a\r\n').replace('HTTP/1.1', 'HTTP/3.0')],
    ['with two lengths', healthCheck('Host: a\r\nContent-Length: 3\r\n')],
    ['with a length and chunks', healthCheck('Host: a\r\nTransfer-Encoding: chunked\r\n')],
    ['with a space before a colon', healthCheck('Host : a\r\n')],
    ['with a folded header', healthCheck('Host: a\r\nX: a\r\n b\r\n')],
    ['that is none', 'hello\r\n\r\n'],
  ])('%s is 400, JSON, counted and logged', async (_name, bytes) => {
    await using port = await openPublicPort();
    const response = await sendRaw(port.port, bytes);
    expect(statusOf(response)).toBe(400);
    expect(response).toMatch(/x-content-type-options: nosniff\r\n/);
    expect(response).toMatch(/connection: close\r\n/i);
    const [, id] = /x-request-id: (\S+)\r\n/.exec(response) ?? [];
    const error = JSON.parse(response.slice(response.indexOf('\r\n\r\n')));
    expect(error).toMatchObject({ code: 'invalid_argument', details: [{ type: 'google.rpc.ErrorInfo' }] });
    const { reason } = error.details[0].debug;
    expect(await port.log.line({ id })).toMatchObject({ status: 400, refused: reason, remoteAddress: '127.0.0.1' });
    expect(await port.metric(`http_non_rpc_requests_total{reason="${reason}",status="400"}`)).toBe(1);
  });

  it.for(
    [
      ...['localhost', 'LOCALHOST:8080', '127.0.0.1:8080', '[::1]:8080', '[::1]', 'a_b.example-1.com', 'a:'],
      // Registered names of which no URL can be made: RFC 3986, 3.2.2.
      ...['postservice.1', '256.1.1.1', '%2Frun%2Fposts.sock', "!$&'()*+,;=~"],
    ].flatMap(host => [true, false].map(fastPath => ({ host, fastPath }))),
  )('to $host is answered, with FAST_PATH=$fastPath', async ({ host, fastPath }) => {
    await using port = await openPublicPort({ fastPath });
    expect(statusOf(await sendRaw(port.port, healthCheck(`Host: ${host}\r\n`)))).toBe(200);
  });

  it.for(
    ['http://a/', 'HTTP://A:8080/', 'https://postservice.1/', 'http://[::1]:80/'].flatMap(url =>
      [true, false].map(fastPath => ({ url, fastPath })),
    ),
  )('in absolute form ($url) is answered, with FAST_PATH=$fastPath', async ({ url, fastPath }) => {
    await using port = await openPublicPort({ fastPath });
    const request = healthCheck('Host: other\r\n').replace('POST /', `POST ${url}`);
    expect(statusOf(await sendRaw(port.port, request))).toBe(200);
    await port.log.line({ path: '/grpc.health.v1.Health/Check', code: 'ok' });
  });

  it.each(['websocket', 'TLS/1.2', 'TLS/1.0, HTTP/1.1', 'h2c', 'foo'])(
    'that offers to upgrade to %s is answered as if it had not',
    async protocol => {
      await using port = await openPublicPort();
      const fields = `Host: a\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n`;
      const request = healthCheck(fields).replace('Connection: close', 'Connection: close, Upgrade, HTTP2-Settings');
      expect(statusOf(await sendRaw(port.port, request))).toBe(200);
    },
  );

  it.each([
    ['*', 'GET, HEAD, POST, OPTIONS'],
    ['/grpc.health.v1.Health/Check', 'POST, OPTIONS'],
    ['/blog.v1.PostService/GetPost', 'GET, HEAD, POST, OPTIONS'],
  ])('OPTIONS %s names the methods', async (target, allow) => {
    await using port = await openPublicPort();
    const response = await sendRaw(port.port, `OPTIONS ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    expect(statusOf(response)).toBe(204);
    expect(response).toContain(`allow: ${allow}\r\n`);
  });
});

describe('a request over HTTP/2', () => {
  it.each([
    ['an :authority with a port above 65535', { ':authority': 'a:99999' }],
    ['an :authority with half an IPv6 address', { ':authority': '[::1' }],
    ['an :authority and another host', { ':authority': 'a', host: 'b' }],
    ['an :authority of 300 characters', { ':authority': 'a'.repeat(300) }],
  ])('with %s is 400', async (_name, headers) => {
    await using port = await openPublicPort();
    const session = http2.connect(port.url);
    const stream = session.request({ ':method': 'POST', ':path': '/grpc.health.v1.Health/Check', ...headers });
    stream.end();
    const [response] = await once(stream, 'response');
    expect(response[':status']).toBe(400);
    session.destroy();
  });

  it.each(['foo|bar', 'user@a', 'a b', ''])('to the :authority %j is reset by nghttp2', async authority => {
    await using port = await openPublicPort();
    const session = http2.connect(port.url);
    const stream = session.request({ ':method': 'POST', ':path': '/x', ':authority': authority });
    stream.on('error', () => {});
    await new Promise(resolve => stream.on('close', resolve));
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_PROTOCOL_ERROR);
    session.destroy();
  });
});

describe('2,000 mutated Hosts', () => {
  it('are each answered with 400, or served where they are authorities of RFC 3986', async () => {
    await using port = await openPublicPort();
    const random = seededRandom(20_261_123);
    const outcomes = new Map<number | undefined, number>();
    const worker = async () => {
      while (sent < 2_000) {
        sent++;
        const host = mutateHost('blog.example.com:8080', random);
        const response = await sendRaw(port.port, healthCheck(`Host: ${host}\r\n`));
        const status = statusOf(response);
        if (status === 200) expect(host.trim()).toMatch(AUTHORITY);
        outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
      }
    };
    let sent = 0;
    await Promise.all(Array.from({ length: 16 }, worker));
    expect([...outcomes.keys()].sort()).toEqual([200, 400]);
    expect((outcomes.get(200) ?? 0) + (outcomes.get(400) ?? 0)).toBe(2_000);
    expect(statusOf(await sendRaw(port.port, healthCheck('Host: x\r\n')))).toBe(200);
  });
});

const AUTHORITY = /^([\w.~!$&'()*+,;=-]|%[\da-f]{2})+(:\d*)?$/i;

async function startBareConnectNode() {
  const child = spawn(process.execPath, [new URL('bare-connect-node.ts', import.meta.url).pathname], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const exitCode = once(child, 'exit').then(([code]) => code as number | null);
  const [line] = await once(child.stdout, 'data');
  return {
    port: Number(line),
    exitCode,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exitCode;
    },
  };
}
