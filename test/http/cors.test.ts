import { describe, expect, it } from 'vitest';
import { openPublicPort } from '#test/support/public-port.ts';

const PAGE = 'https://app.example.com';
const path = '/grpc.health.v1.Health/Check';
const call = (url: string, origin?: string) =>
  fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(origin && { origin }) },
    body: '{}',
  });
const preflight = (url: string, origin: string) =>
  fetch(url + path, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
  });
const namesIn = (list: string | null) => (list ?? '').toLowerCase().split(', ');

describe('a page of an allowed origin', () => {
  it('may read the response, its request id and its etag', async () => {
    await using port = await openPublicPort({ corsOrigins: [PAGE] });
    const { headers } = await call(port.url, PAGE);
    expect(headers.get('access-control-allow-origin')).toBe(PAGE);
    expect(headers.get('access-control-expose-headers')).toMatch(
      /Grpc-Status.*X-Request-Id, X-Consistency-Token, ETag/i,
    );
    expect(headers.get('access-control-allow-credentials')).toBeNull();
    expect(headers.get('vary')).toBe('Origin');
  });

  it('may read a refusal too', async () => {
    await using port = await openPublicPort({ corsOrigins: [PAGE] });
    const response = await fetch(`${port.url}/nothing`, { headers: { origin: PAGE } });
    expect(response.status).toBe(404);
    expect(response.headers.get('access-control-allow-origin')).toBe(PAGE);
  });

  it('is told what it may send, and for how long the browser may cache that', async () => {
    await using port = await openPublicPort({ corsOrigins: ['https://other.example.com', PAGE] });
    const { status, headers } = await preflight(port.url, PAGE);
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe(PAGE);
    expect(headers.get('access-control-allow-methods')).toBe('POST, GET');
    const allowed = headers.get('access-control-allow-headers')?.toLowerCase().split(', ');
    expect(allowed).toEqual(
      expect.arrayContaining([
        'content-type',
        'connect-protocol-version',
        'connect-timeout-ms',
        'x-grpc-web',
        'x-request-id',
      ]),
    );
    expect(headers.get('access-control-max-age')).toBe('7200');
    expect(headers.get('vary')).toBe('Origin');
  });

  it.each([
    'authorization',
    'traceparent',
    'tracestate',
    'baggage',
    'x-criticality',
    'x-consistency-token',
    'x-request-id',
    'if-none-match',
    'content-type',
    'connect-protocol-version',
    'connect-timeout-ms',
    'x-grpc-web',
    'x-user-agent',
    'grpc-timeout',
  ])('may send %s, which the service reads', async name => {
    await using port = await openPublicPort({ corsOrigins: [PAGE] });
    const { headers } = await preflight(port.url, PAGE);
    expect(namesIn(headers.get('access-control-allow-headers'))).toContain(name);
  });

  it.each([
    'grpc-status',
    'grpc-message',
    'grpc-status-details-bin',
    'x-request-id',
    'x-consistency-token',
    'etag',
    'age',
    'cache-status',
    'allow',
    'date',
  ])('may read %s, which the service sends', async name => {
    await using port = await openPublicPort({ corsOrigins: [PAGE] });
    const { headers } = await call(port.url, PAGE);
    expect(namesIn(headers.get('access-control-expose-headers'))).toContain(name);
  });

  it('may also send and read the fields that the settings add', async () => {
    const corsFields = { allow: ['X-Tenant', 'content-TYPE'], expose: ['X-Served-By'] };
    await using port = await openPublicPort({ corsOrigins: [PAGE], corsFields });
    const allowed = namesIn((await preflight(port.url, PAGE)).headers.get('access-control-allow-headers'));
    expect(allowed).toEqual(expect.arrayContaining(['x-tenant', 'x-request-id']));
    expect(allowed.filter(name => name === 'content-type')).toHaveLength(1);
    const exposed = namesIn((await call(port.url, PAGE)).headers.get('access-control-expose-headers'));
    expect(exposed).toEqual(expect.arrayContaining(['x-served-by', 'etag']));
  });
});

describe('a page of another origin', () => {
  it.each(['https://evil.example.com', `${PAGE}.evil.com`, 'http://app.example.com', 'null'])(
    '%s gets no permission',
    async origin => {
      await using port = await openPublicPort({ corsOrigins: [PAGE] });
      for (const response of [await call(port.url, origin), await preflight(port.url, origin)]) {
        const given = [...response.headers.keys()].filter(name => name.startsWith('access-control'));
        expect(given).toEqual([]);
        expect(response.headers.get('vary')).toBe('Origin');
      }
    },
  );
});

describe('CORS', () => {
  it('allows every origin if the setting is *', async () => {
    await using port = await openPublicPort({ corsOrigins: ['*'] });
    const { headers } = await call(port.url, 'https://any.example.com');
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(headers.get('vary')).toBeNull();
  });

  it('allows every origin without an Origin too if the setting is *, since a cache may give the response to a page', async () => {
    await using port = await openPublicPort({ corsOrigins: ['*'] });
    const { headers } = await call(port.url);
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(namesIn(headers.get('access-control-expose-headers'))).toContain('etag');
    expect(headers.get('vary')).toBeNull();
  });

  it('allows no origin by default', async () => {
    await using port = await openPublicPort();
    const { headers } = await call(port.url, PAGE);
    expect(headers.get('access-control-allow-origin')).toBeNull();
  });

  it('sends Vary to requests without an Origin too', async () => {
    await using port = await openPublicPort({ corsOrigins: [PAGE] });
    expect((await call(port.url)).headers.get('vary')).toBe('Origin');
  });
});
