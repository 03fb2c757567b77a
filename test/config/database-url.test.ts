import { describe, expect, it } from 'vitest';
import { parseDatabaseUrl, splitUrls } from '#src/config/database-url.ts';

describe('The URL of a database', () => {
  it.each([
    'postgres://u:p@db:5432/posts',
    'postgresql://db',
    'postgres://u@db/posts?host=/run/postgresql&port=5433',
    'postgres://u:a,b@db/posts?sslmode=verify-full',
    'postgres://%2Frun%2Fpostgresql/posts',
  ])('with one host stays as it is: %s', url => {
    expect(parseDatabaseUrl(url)).toEqual({ servers: [url], wanted: undefined });
  });

  it.each([
    ['postgres://a:5432,b:5433/db', ['postgres://a:5432/db', 'postgres://b:5433/db']],
    ['postgres://a,b:5433,c/db', ['postgres://a/db', 'postgres://b:5433/db', 'postgres://c/db']],
    ['postgresql://a,b', ['postgresql://a', 'postgresql://b']],
    ['postgres://[::1],[2001:db8::1]:5433/db', ['postgres://[::1]/db', 'postgres://[2001:db8::1]:5433/db']],
    ['postgres://a:,b:/db', ['postgres://a/db', 'postgres://b/db']],
    ['postgres://a:1,b/db?port=5433', ['postgres://a:5433/db', 'postgres://b:5433/db']],
    ['postgres://a,b/db?port=5433,5434', ['postgres://a:5433/db', 'postgres://b:5434/db']],
    ['postgres://u@/db?host=a,b', ['postgres://u@a/db', 'postgres://u@b/db']],
    ['postgres:///db?host=::1,/run/pg&port=1', ['postgres://[::1]:1/db', 'postgres://%2Frun%2Fpg:1/db']],
    ['postgres://%2Frun%2Fpg,a/db', ['postgres://%2Frun%2Fpg/db', 'postgres://a/db']],
  ])('names each server: %s', (url, servers) => {
    expect(parseDatabaseUrl(url).servers).toEqual(servers);
  });

  it('has user, password, database and parameters for all of its hosts, as they are encoded', () => {
    const { servers, wanted } = parseDatabaseUrl(
      'postgres://u%40x:p%2C%2F,@@a,b:1/d%20b?sslmode=verify-full&target_session_attrs=primary&options=-c%20a%3Db',
    );
    expect(servers).toEqual([
      'postgres://u%40x:p%2C%2F,@@a/d%20b?sslmode=verify-full&options=-c+a%3Db',
      'postgres://u%40x:p%2C%2F,@@b:1/d%20b?sslmode=verify-full&options=-c+a%3Db',
    ]);
    expect(wanted).toBe('primary');
  });

  it.each([
    ['postgres://a,/db', /^host 2 of 2 must be a name or an address/],
    ['postgres://,a/db', /^host 1 of 2 /],
    ['postgres://a,b:0/db', /^host 2 of 2 .+ a port from 1 to 65535/],
    ['postgres://a,b:65536/db', /^host 2 of 2 /],
    ['postgres://a,b:5432x/db', /^host 2 of 2 /],
    ['postgres://a,::1/db', /^host 2 of 2 .+ such as db:5432 or \[::1\]:5432$/],
    ['postgres://a,b c/db', /^host 2 of 2 /],
    ['postgres://a,b/db?port=1,2,3', /^port must have one value, or one for each host, but has 3 for 2 hosts$/],
    ['postgres://a,b/db?port=x', /^host 1 of 2 /],
    ['postgres://a/db?target_session_attrs=master', /^target_session_attrs must be one of any, read-write, /],
    ['mysql://a,b/db', /^must be a URL that begins with postgres:\/\/ or postgresql:\/\/$/],
    ['a,b', /^must be a URL that begins with/],
  ])('says what is wrong: %s', (url, message) => {
    expect(() => parseDatabaseUrl(url)).toThrow(message);
  });
});

describe('A list of URLs', () => {
  it.each([
    ['postgres://a/db, postgres://b/db,', ['postgres://a/db', 'postgres://b/db']],
    ['postgres://a:1,b:2/db,postgres://c/db', ['postgres://a:1,b:2/db', 'postgres://c/db']],
    ['postgres://u:x,y@a/db,postgres://b', ['postgres://u:x,y@a/db', 'postgres://b']],
    ['postgres://a/db,b', ['postgres://a/db', 'b']],
    ['', []],
  ])('is split where a URL ends: %s', (text, urls) => {
    expect(splitUrls(text)).toEqual(urls);
  });
});
