import { describe, expect, it } from 'vitest';
import { openPublicPort } from '#test/support/public-port.ts';

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
    const response = await fetch(`${port.url}/grpc.health.v1.Health/Check`, init);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/json');
    const error = (await response.json()) as { code: string; details: { debug: object }[] };
    expect(error.code).toBe(code);
    expect(error.details.map(detail => detail.debug)).toEqual([{ reason, domain: 'blog.v1.PostService' }]);
  });
});
