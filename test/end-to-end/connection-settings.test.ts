import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { proxyV2Of } from '#test/support/proxy-headers.ts';
import { healthCheck, readToEnd, statusOf } from '#test/support/raw-http.ts';
import { startTestService } from '#test/support/test-service.ts';

/** One service for all: it takes PROXY headers, and so is asked by bytes. */
const SETTINGS = {
  CONNECTION_IDLE_TIMEOUT: '90s',
  CORS_ORIGINS: 'https://app.example.com',
  CORS_ALLOW_HEADERS: 'x-tenant',
  CORS_EXPOSE_HEADERS: 'x-served-by',
  TRUSTED_PROXIES: '127.0.0.1, 10.0.0.0/8',
  FORWARDED_FIELD: 'forwarded',
  PROXY_PROTOCOL: 'true',
};

async function ask(url: string, source: string, request: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(Buffer.concat([proxyV2Of(source), Buffer.from(request)]));
  return readToEnd(socket);
}

describe('The service', () => {
  it('takes its settings for connections, proxies and pages of other origins', async () => {
    await using service = await startTestService(SETTINGS);

    const lines = 'X-Request-Id: call\r\nForwarded: for=192.0.2.7\r\nX-Forwarded-For: 203.0.113.9\r\n';
    expect(statusOf(await ask(service.url, '10.0.0.2', healthCheck(`Host: a\r\n${lines}`)))).toBe(200);
    expect(await service.log.line({ id: 'call' })).toMatchObject({ remoteAddress: '192.0.2.7' });

    const preflight = `OPTIONS /blog.v1.PostService/GetPost HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\nAccess-Control-Request-Method: POST\r\n`;
    const permission = await ask(service.url, '192.0.2.7', `${preflight}\r\n${preflight}Connection: close\r\n\r\n`);
    expect(permission).toMatch(/^keep-alive: timeout=90\r$/im);
    expect(permission).toMatch(/^access-control-allow-headers: .*x-tenant/im);
    expect(permission).toMatch(/^access-control-expose-headers: .*x-served-by/im);
  });
});
