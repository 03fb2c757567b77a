import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { createClient } from '@keyv/redis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RedisCache } from '#src/cache/redis-cache.ts';
import { createLogger } from '#src/observability/logger.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { snippetsOf } from '#test/support/readme.ts';
import { startRedis } from '#test/support/redis.ts';
import { selfSigned } from '#test/support/self-signed.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

describe('A shared cache', () => {
  it('is reached over TLS (rediss://), by a certificate that Node trusts', async () => {
    await using folder = await makeTemporaryFolder();
    const { cert, key } = selfSigned();
    const tls = { cert: join(folder.path, 'cert.pem'), key: join(folder.path, 'key.pem') };
    await writeFile(tls.cert, cert);
    await writeFile(tls.key, key);
    await using redis = await startRedis({ tls });
    const trusted = getCACertificates();
    onTestFinished(() => setDefaultCACertificates(trusted));
    setDefaultCACertificates([...trusted, cert]);
    await useAll(redis.url);
  });

  it('is used by a user who may do what the guide says, and no more (ACL)', async () => {
    await using redis = await startRedis();
    await using admin = await connect(redis.url);
    const [rule] = (await snippetsOf('docs/redis.md')).filter(({ text }) => text.startsWith('ACL SETUSER'));
    await admin.send(rule?.text.trim().split(/\s+/) ?? []);
    await useAll(redis.url.replace('//', '//postservice:password@'));
    expect(await admin.send(['ACL', 'LOG'])).toEqual([]);
    await using user = await connect(redis.url.replace('//', '//postservice:password@'));
    await expect(user.send(['KEYS', '*'])).rejects.toThrow('NOPERM');
  });

  it('goes on after FLUSHALL, with nothing of what was there', async () => {
    await using redis = await startRedis();
    await using admin = await connect(redis.url);
    await using cache = await open(redis.url);
    await cache.set('a', 'text', 60_000);
    const claim = await cache.claim('a', 60_000);
    await admin.send(['FLUSHALL']);
    expect(await cache.get('a')).toBeUndefined();
    // It was another one's, for all that this one can know.
    await using other = await open(redis.url);
    expect(await other.claim('a', 60_000)).toMatchObject({ release: expect.any(Function) });
    if (typeof claim === 'object') await claim.release();
    expect(await cache.claim('a', 60_000)).toBe('taken');
  });
});

/** Every command that the service sends. */
async function useAll(url: string): Promise<void> {
  await using cache = await open(url);
  await cache.set('a', 'text', 60_000);
  expect(await cache.get('a')).toMatchObject({ text: 'text' });
  const claim = await cache.claim('a', 60_000);
  expect(await cache.look('a')).toMatchObject({ isClaimed: true });
  if (typeof claim === 'object') await claim.release();
  expect(await cache.look('a')).toMatchObject({ isClaimed: false });
  await cache.delete(['a', 'b']);
  expect(await cache.get('a')).toBeUndefined();
}

async function open(url: string): Promise<RedisCache> {
  const log = await createLogger({ level: 'info', format: 'json' }, new LogLines());
  const cache = new RedisCache(url, { namespace: 'test', timeoutMs: 5000, log });
  while ((await cache.get('none')) === 'unavailable') await turn();
  return cache;
}

async function connect(url: string): Promise<{ send(command: readonly string[]): Promise<unknown> } & AsyncDisposable> {
  const client = createClient({ url });
  client.on('error', () => {});
  await client.connect();
  return {
    send: command => client.sendCommand([...command]),
    [Symbol.asyncDispose]: async () => client.destroy(),
  };
}
