import { describe, expect, it } from 'vitest';
import { openPublicPort } from '#test/support/public-port.ts';
import { sendRaw, statusOf } from '#test/support/raw-http.ts';

const post = (contentType: string) =>
  `POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: a\r\n${contentType}Content-Length: 2\r\nConnection: close\r\n\r\n{}`;

describe('a POST that a page of any origin can send without asking', () => {
  it.each([
    'Content-Type: application/x-www-form-urlencoded\r\n',
    'Content-Type: APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8\r\n',
    'Content-Type: multipart/form-data; boundary=x\r\n',
    'Content-Type: text/plain\r\n',
    'Content-Type: text/plain; application/json\r\n',
    'Content-Type: text/plain\r\nContent-Type: application/json\r\n',
    '',
  ])('is refused with %j', async contentType => {
    await using port = await openPublicPort();
    const response = await sendRaw(port.port, post(contentType));
    expect(statusOf(response)).toBe(415);
    expect(response).toContain('"reason":"UNSUPPORTED_MEDIA_TYPE"');
    expect(await port.metric('http_non_rpc_requests_total{reason="UNSUPPORTED_MEDIA_TYPE",status="415"}')).toBe(1);
  });

  it('is taken with application/json in any case', async () => {
    await using port = await openPublicPort();
    expect(statusOf(await sendRaw(port.port, post('Content-Type: Application/JSON; charset=utf-8\r\n')))).toBe(200);
  });
});

describe('a method that no RPC has', () => {
  it.each(['PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND'])('%s is 405', async method => {
    await using port = await openPublicPort();
    const response = await sendRaw(port.port, post('').replace('POST', method));
    expect(statusOf(response)).toBe(405);
    expect(response).toContain('allow: POST, OPTIONS\r\n');
  });
});
