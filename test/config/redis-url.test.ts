import { describe, expect, it } from 'vitest';
import { parseRedisUrl, RedisUrlError } from '#src/config/redis-url.ts';

describe('The URL of a Redis', () => {
  it.each([
    ['redis://cache', { kind: 'server', hosts: [{ host: 'cache', port: 6379 }], tls: false, database: 0 }],
    [
      'rediss://user:p%40ss@cache:6380/3',
      { hosts: [{ host: 'cache', port: 6380 }], tls: true, username: 'user', password: 'p@ss', database: 3 },
    ],
    ['redis://:secret@[::1]:6379', { hosts: [{ host: '::1', port: 6379 }], username: undefined, password: 'secret' }],
    [
      'redis-sentinel://user:secret@a,b:1,c/mymaster/2?sentinel_password=other',
      {
        kind: 'sentinel',
        hosts: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 1 },
          { host: 'c', port: 26_379 },
        ],
        ...{
          tls: false,
          username: 'user',
          password: 'secret',
          database: 2,
          master: 'mymaster',
          sentinelPassword: 'other',
        },
      },
    ],
    [
      'rediss-sentinel://a/mymaster',
      { kind: 'sentinel', tls: true, database: 0, master: 'mymaster', password: undefined },
    ],
    [
      'redis-cluster://a,b:7000',
      {
        kind: 'cluster',
        hosts: [
          { host: 'a', port: 6379 },
          { host: 'b', port: 7000 },
        ],
      },
    ],
    ['rediss-cluster://a', { kind: 'cluster', tls: true }],
  ])('is read: %s', (text, expected) => {
    expect(parseRedisUrl(text)).toMatchObject(expected);
  });

  it.each([
    ['memcached://a', 'must be a URL that begins with one of redis://, redis-sentinel://, redis-cluster://, rediss://'],
    ['hunter2', 'must be a URL that begins with one of redis://'],
    ['redis://a,b', 'redis-cluster:// or redis-sentinel://'],
    ['redis-sentinel://a,b', 'must name the master'],
    ['redis://a/x', 'must have a database number'],
    ['redis://a/0/1', 'must have a database number'],
    ['redis-cluster://a/1', 'must not name a database'],
    ['redis-cluster://a,,b', 'must name each host'],
    ['redis://a:hunter2', 'must be a URL'],
    ['redis://user:%zz@a', 'must have %25'],
  ])('is refused, without a word of what it holds: %s', (text, message) => {
    const read = () => parseRedisUrl(text);
    expect(read).toThrow(RedisUrlError);
    expect(read).toThrow(message);
    expect(read).not.toThrow('hunter2');
  });
});
