import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ConfigError, parseConfig } from '#src/config/config.ts';
import { envExample } from '#src/config/help.ts';
import { listSettings } from '#src/config/settings.ts';

describe('parseConfig', () => {
  it('gives every setting its default', () => {
    expect(parseConfig({})).toEqual({
      listen: { host: '127.0.0.1', port: 8080 },
      admin: { host: '127.0.0.1', port: 9090, token: undefined },
      tls: undefined,
      connections: { perAddress: 2000, max: 10_000, maxAgeMs: 1_800_000, idleTimeoutMs: 620_000 },
      corsOrigins: [],
      corsFields: { allow: [], expose: [] },
      proxies: { trusted: [], field: undefined, protocol: false },
      responseBudgetBytes: 64 * 1024 * 1024,
      requestMaxBytes: 4 * 1024 * 1024,
      compressMinBytes: 8 * 1024,
      fastPath: true,
      cacheControl: {
        'blog.v1.PostService/GetPost': 'no-cache',
        'blog.v1.PostService/BatchGetPosts': 'no-cache',
        'blog.v1.PostService/ListPosts': 'no-cache',
      },
      deadline: { defaultMs: 10_000, maxMs: 60_000 },
      database: {
        url: undefined,
        replicaUrls: [],
        replicaMaxLagMs: 5000,
        poolMax: 10,
        acquireTimeoutMs: 250,
        maxWaiting: 1000,
        idleTimeoutMs: 600_000,
        lifetimeMs: 1_800_000,
        statementTimeoutMs: 30_000,
        leakAfterMs: 60_000,
        lockTimeoutMs: 2_000,
        transactionIdleTimeoutMs: 10_000,
        lanes: 2,
        preparedStatements: true,
        slowCallMs: 250,
        breakerOpenMs: 500,
      },
      purge: { intervalMs: 600_000, changeRetentionMs: 604_800_000 },
      cache: {
        nearBytes: 64 * 1024 * 1024,
        ttlMs: 60_000,
        negativeTtlMs: 5000,
        listTtlMs: 5000,
        staleIfErrorMs: 600_000,
      },
      redis: { url: undefined, timeoutMs: 50 },
      dataDir: '.data',
      log: { level: 'info', format: undefined, accessRate: 100 },
      pageTokenSecret: undefined,
      shutdownDelayMs: 0,
      shutdownGraceMs: 10_000,
      readinessRequiresDatabase: false,
      overloadDelayMs: 25,
    });
  });

  it('takes an empty variable for one that is unset', () => {
    const empty = Object.fromEntries(listSettings().map(({ name }) => [name, '']));
    expect(parseConfig(empty)).toEqual(parseConfig({}));
  });

  it('leaves variables that are no settings alone', () => {
    expect(parseConfig({ PATH: '/bin', PORTS: 'x' })).toEqual(parseConfig({}));
  });

  it('gives settings that nobody can change', () => {
    const config = parseConfig({ CORS_ORIGINS: 'https://a.example' });
    expect(() => Object.assign(config.database, { poolMax: 1 })).toThrow(TypeError);
    expect(() => (config.corsOrigins as string[]).push('*')).toThrow(TypeError);
  });

  it('lists every problem at once, each with its name', () => {
    const env = { PORT: 'x', LOG_LEVEL: 'loud', TLS_CERT: 'cert.pem', DEADLINE_DEFAULT: '2min', DEADLINE_MAX: '1min' };
    expect(problemsOf(env)).toEqual([
      'PORT: must be an integer from 0 to 65535',
      'LOG_LEVEL: must be one of fatal, error, warn, info, debug, trace, silent',
      'TLS_KEY: is required with TLS_CERT',
      'DEADLINE_DEFAULT: must not exceed DEADLINE_MAX',
    ]);
  });

  it('says each of them in its message', () => {
    expect(() => parseConfig({ PORT: 'x', ADMIN_PORT: 'y' })).toThrow(
      /^bad settings:\n {2}PORT: .+\n {2}ADMIN_PORT: .+$/,
    );
  });

  it.each([
    ['1ms', 1],
    ['250ms', 250],
    ['10s', 10_000],
    ['5min', 300_000],
    ['1h', 3_600_000],
  ])('reads the duration %s', (text, milliseconds) => {
    expect(parseConfig({ DEADLINE_MAX: '1h', DEADLINE_DEFAULT: text }).deadline.defaultMs).toBe(milliseconds);
  });

  it.each(['10', '1.5s', '-1s', '10 s', '10S', '1d', '10sec', '٣s'])('refuses the duration %j', text => {
    expect(problemsOf({ SHUTDOWN_GRACE: text })).toEqual([
      'SHUTDOWN_GRACE: must be a duration such as 250ms, 10s, 5min or 1h',
    ]);
  });

  it.each([
    ['DATABASE_ACQUIRE_TIMEOUT', '0ms', '1ms and 1min'],
    ['DATABASE_ACQUIRE_TIMEOUT', '2min', '1ms and 1min'],
    ['SHUTDOWN_GRACE', '999999999h', '0ms and 1h'],
    ['REQUEST_MAX_BYTES', '1B', '1KiB and 64MiB'],
    ['REQUEST_MAX_BYTES', '65MiB', '1KiB and 64MiB'],
  ])('refuses %s=%s, which is out of bounds', (name, text, bounds) => {
    expect(problemsOf({ [name]: text })).toEqual([`${name}: must be between ${bounds}`]);
  });

  it.each([
    ['4096B', 4096],
    ['512KiB', 524_288],
    ['64MiB', 67_108_864],
  ])('reads the size %s', (text, bytes) => {
    expect(parseConfig({ REQUEST_MAX_BYTES: text }).requestMaxBytes).toBe(bytes);
  });

  it.each(['4096', '1KB', '1kib', '1GiB', 'all'])('refuses the size %j', text => {
    expect(problemsOf({ REQUEST_MAX_BYTES: text })).toEqual([
      'REQUEST_MAX_BYTES: must be a size such as 512KiB or 4MiB',
    ]);
  });

  it.each(['-1', '65536', '1e3', '0x50', '8080 ', '80.0'])('refuses the port %j', text => {
    expect(problemsOf({ PORT: text })).toEqual(['PORT: must be an integer from 0 to 65535']);
  });

  it('takes port 0, which picks a free one', () => {
    expect(parseConfig({ PORT: '0', ADMIN_PORT: '0' })).toMatchObject({ listen: { port: 0 }, admin: { port: 0 } });
  });

  it.each(['postgres://u:p@db:5432/posts', 'postgresql://db/posts'])('takes the database URL %s', url => {
    expect(parseConfig({ DATABASE_URL: url, PAGE_TOKEN_SECRET: SECRET }).database.url).toBe(url);
  });

  it.each(['db:5432', 'mysql://db/posts', 'http://db', 'posts'])('refuses the database URL %s', url => {
    expect(problemsOf({ DATABASE_URL: url, PAGE_TOKEN_SECRET: SECRET })).toEqual([
      'DATABASE_URL: must be a URL that begins with postgres:// or postgresql://',
    ]);
  });

  it('takes several hosts of a database', () => {
    const url = 'postgres://u:p@a:5432,b:5432/posts?target_session_attrs=read-write';
    expect(parseConfig({ DATABASE_URL: url, PAGE_TOKEN_SECRET: SECRET }).database.url).toBe(url);
  });

  it('counts each host of a replica URL as a replica', () => {
    const urls = 'postgres://u:p@a,b:5433/posts?target_session_attrs=prefer-standby,postgres://c/posts';
    expect(parseConfig({ DATABASE_REPLICA_URLS: urls }).database.replicaUrls).toEqual([
      'postgres://u:p@a/posts',
      'postgres://u:p@b:5433/posts',
      'postgres://c/posts',
    ]);
  });

  it('refuses a database that may not be the primary, and a replica that must be', () => {
    const env = {
      DATABASE_URL: 'postgres://u:hunter2@a,b/posts?target_session_attrs=standby',
      DATABASE_REPLICA_URLS: 'postgres://u:hunter2@a,b/posts?target_session_attrs=read-write',
      PAGE_TOKEN_SECRET: SECRET,
    };
    expect(problemsOf(env)).toEqual([
      'DATABASE_URL: target_session_attrs must be read-write or primary or any here',
      'DATABASE_REPLICA_URLS: target_session_attrs must be standby or prefer-standby or read-only or any here',
    ]);
  });

  it('says which host of several is bad, and nothing of what the URL holds', () => {
    const url = 'postgres://u:hunter2@a,b:99999/posts';
    expect(problemsOf({ DATABASE_URL: url, PAGE_TOKEN_SECRET: SECRET })).toEqual([
      'DATABASE_URL: host 2 of 2 must be a name or an address, and may have a port from 1 to 65535, such as db:5432 or [::1]:5432',
    ]);
  });

  it('reads a list with commas, blanks and a comma at its end', () => {
    expect(parseConfig({ CORS_ORIGINS: ' https://a.example, http://localhost:5173 ,' }).corsOrigins).toEqual([
      'https://a.example',
      'http://localhost:5173',
    ]);
  });

  it.each(['https://a.example/', 'a.example', 'https://a.example/path', 'https://*.example'])(
    'refuses the origin %s',
    origin => {
      expect(problemsOf({ CORS_ORIGINS: origin })).toEqual([
        'CORS_ORIGINS: must be an origin such as https://app.example.com, or *',
      ]);
    },
  );

  it.each(['x tenant', 'x-tenant:', 'x-tenant; x-feature', 'é'])('refuses the field name %s', name => {
    const problem = 'must be comma-separated names of HTTP fields, such as x-tenant, x-feature';
    expect(problemsOf({ CORS_ALLOW_HEADERS: name, CORS_EXPOSE_HEADERS: name })).toEqual([
      `CORS_ALLOW_HEADERS: ${problem}`,
      `CORS_EXPOSE_HEADERS: ${problem}`,
    ]);
  });

  it('reads trusted proxies as CIDRs and as single addresses, IPv4 and IPv6', () => {
    const trusted = ['10.0.0.0/8', '192.0.2.1', '2001:db8::/32', '::1', '0.0.0.0/0'];
    expect(parseConfig({ TRUSTED_PROXIES: trusted.join(', ') }).proxies.trusted).toEqual(trusted);
  });

  it.each([
    '10.0.0.0/33',
    '10.0.0/8',
    '2001:db8::/129',
    'proxy.example',
    '10.0.0.1:80',
    '10.0.0.0/',
    '10.0.0.0 10.1.0.0',
  ])('refuses the trusted proxy %s', proxy => {
    expect(problemsOf({ TRUSTED_PROXIES: proxy })).toEqual([
      'TRUSTED_PROXIES: must be comma-separated CIDRs or addresses, such as 10.0.0.0/8, 2001:db8::/32, 192.0.2.1',
    ]);
  });

  it('refuses a field for forwarded addresses that no proxy sets, and half a PROXY protocol', () => {
    expect(problemsOf({ FORWARDED_FIELD: 'x-real-ip', PROXY_PROTOCOL: 'v2' })).toEqual([
      'FORWARDED_FIELD: must be x-forwarded-for or forwarded',
      'PROXY_PROTOCOL: must be true or false',
    ]);
  });

  it('names a setting for each URL of a list that is none', () => {
    expect(problemsOf({ DATABASE_REPLICA_URLS: 'postgres://a/p,b,c' })).toHaveLength(2);
  });

  it('wants the secret of the page tokens with a database that others may share', () => {
    expect(problemsOf({ DATABASE_URL: 'postgres://db/posts' })).toEqual([
      'PAGE_TOKEN_SECRET: is required with DATABASE_URL, so that every instance accepts the same page tokens',
    ]);
  });

  it('wants a secret that nobody guesses', () => {
    expect(problemsOf({ PAGE_TOKEN_SECRET: 'x'.repeat(31) })).toEqual([
      'PAGE_TOKEN_SECRET: must have at least 32 characters',
    ]);
  });

  it('never says what a setting holds: it may be a secret', () => {
    const env = { DATABASE_URL: 'mysql://root:hunter2@db/posts', PAGE_TOKEN_SECRET: 'hunter2', REDIS_URL: 'hunter2' };
    expect(problemsOf(env).join('\n')).not.toContain('hunter2');
  });
});

describe('listSettings', () => {
  it('has a default that parses, for each setting that has one', () => {
    const defaults = Object.fromEntries(listSettings().map(setting => [setting.name, setting.default]));
    expect(parseConfig(defaults)).toEqual(parseConfig({}));
  });
});

describe('.env.example', () => {
  it('has every setting, as --help has it', async () => {
    const example = await readFile(new URL('../../.env.example', import.meta.url), 'utf8');
    expect(example, 'make it with: npm run generate').toBe(envExample());
  });

  it('sets what it shows, once the # is taken off', () => {
    const lines = envExample().match(/^# [A-Z_]+=.*$/gm) ?? [];
    expect(lines).toEqual(listSettings().map(({ name, default: value }) => `# ${name}=${value}`));
  });
});

const SECRET = 'x'.repeat(32);

function problemsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    parseConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}
