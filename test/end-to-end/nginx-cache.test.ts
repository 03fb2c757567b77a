import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startNginxCache, type TestNginx } from '#test/support/nginx.ts';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';

const PROCEDURE = 'blog.v1.PostService/GetPost';
const LONG = 'long text '.repeat(500);

let port: PublicPort;
let nginx: TestNginx;
let title = 'first';
let calls = 0;

beforeAll(async () => {
  port = await openPublicPort({
    // Kept for a second, and asked for again after that.
    cacheControl: { [PROCEDURE]: 'public, max-age=1' },
    compressMinBytes: 256,
    posts: {
      getPost: ({ key }) => {
        calls++;
        if (key.value === 'fault') throw new Error('a fault of ours');
        return { post: { slug: key.value ?? '', title, content: LONG } };
      },
    },
  });
  nginx = await startNginxCache(port.url);
});
beforeEach(() => {
  calls = 0;
});
afterAll(async () => {
  await nginx?.[Symbol.asyncDispose]();
  await port?.[Symbol.asyncDispose]();
});

describe('NGINX in front of the service', () => {
  it('serves hits by itself', async () => {
    const first = await get('hits');
    const others = await Promise.all(Array.from({ length: 20 }, () => get('hits')));
    const hits = others.filter(({ cache }) => cache === 'HIT').length;
    expect(first.cache).toBe('MISS');
    expect(hits).toBeGreaterThan(0);
    // One for each that was no hit, since it may have expired meanwhile.
    expect(calls).toBe(21 - hits);
  });

  it('gives what is compressed only to a client that asks for it', async () => {
    const zipped = await get('variants', { 'accept-encoding': 'gzip' });
    const plain = await get('variants');
    expect([zipped.encoding, plain.encoding]).toEqual(['gzip', null]);
    expect(zipped.text).toBe(plain.text);
    expect(plain.text).toContain(LONG);
  });

  it('asks again when an answer is too old, and sends what changed', async () => {
    title = 'before';
    const before = await get('update');
    // Nothing has changed: the service says 304, and the body is NGINX's own.
    await expect.poll(async () => (await get('update')).cache, { timeout: 30_000 }).toBe('REVALIDATED');
    expect((await get('update')).text).toBe(before.text);
    title = 'after';
    await expect.poll(async () => (await get('update')).text, { timeout: 30_000 }).toContain('"title":"after"');
  });

  it('keeps no error', async () => {
    expect([(await get('fault')).cache, (await get('fault')).cache]).toEqual(['MISS', 'MISS']);
    expect(calls).toBe(2);
  });

  it('keeps nothing of what is posted', async () => {
    for (let i = 0; i < 2; i++) {
      const response = await fetch(`${nginx.url}/${PROCEDURE}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"slug":"posted"}',
      });
      expect(response.status).toBe(200);
    }
    expect(calls).toBe(2);
  });
});

async function get(slug: string, headers: Record<string, string> = {}) {
  const message = encodeURIComponent(JSON.stringify({ slug }));
  const url = `${nginx.url}/${PROCEDURE}?connect=v1&encoding=json&message=${message}`;
  const response = await fetch(url, { headers: { 'accept-encoding': 'identity', ...headers } });
  return {
    cache: response.headers.get('x-cache-status'),
    encoding: response.headers.get('content-encoding'),
    text: await response.text(),
  };
}
