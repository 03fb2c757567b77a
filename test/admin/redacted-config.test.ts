import { expect, it } from 'vitest';
import { redactConfig } from '#src/admin/redacted-config.ts';
import { parseConfig } from '#src/config/config.ts';

it('has no secret in it, and all else', () => {
  const config = parseConfig({
    DATABASE_URL: 'postgres://user:hunter2@db:5432/blog?password=hunter3&sslmode=require',
    DATABASE_REPLICA_URLS: 'postgres://user:hunter4@replica:5432/blog',
    REDIS_URL: 'redis://user:hunter5@cache:6379/0',
    PAGE_TOKEN_SECRET: 'hunter6-hunter6-hunter6-hunter6-hunter6',
    ADMIN_TOKEN: 'hunter7-hunter7-hunter7',
  });
  const redacted = redactConfig(config);
  expect(JSON.stringify(redacted)).not.toContain('hunter');
  expect(redacted).toMatchObject({
    admin: { host: '127.0.0.1', token: 'REDACTED' },
    database: {
      url: 'postgres://user:REDACTED@db:5432/blog?password=REDACTED&sslmode=require',
      replicaUrls: ['postgres://user:REDACTED@replica:5432/blog'],
      poolMax: 10,
    },
    redis: { url: 'redis://user:REDACTED@cache:6379/0' },
    pageTokenSecret: 'REDACTED',
  });
});

it.each([
  [
    'postgres://user:hunter2@a:5432,b:5432/blog?sslpassword=hunter3',
    'postgres://user:REDACTED@a:5432,b:5432/blog?sslpassword=REDACTED',
  ],
  ['postgres://user:hunter,2@a,[::1]:5433/blog', 'postgres://user:REDACTED@a,[::1]:5433/blog'],
  ['postgres://user@/blog?host=a,b&password=hunter2', 'postgres://user@/blog?host=a%2Cb&password=REDACTED'],
  ['postgres://a,b/blog', 'postgres://a,b/blog'],
])('hides the password of several hosts too: %s', (url, expected) => {
  const config = parseConfig({ DATABASE_URL: url, PAGE_TOKEN_SECRET: 'x'.repeat(32) });
  expect(redactConfig(config)).toMatchObject({ database: { url: expected } });
});
