import pg from 'pg';
import { expect, it } from 'vitest';
import { type FeedHead, readHead } from '#src/posts/feed/feed-head.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';

const head = (client: pg.Client): Promise<FeedHead> =>
  readHead(async (text, values) => (await client.query(text, values as unknown[])).rows);

it('names the life of the server once, whoever asks, and whatever they may see of it', async () => {
  await using database = await createTestDatabase();
  const owner = new pg.Client(database.url);
  await owner.connect();
  await owner.query(`
    do $$ begin create role feed_reader login; exception when duplicate_object then null; end $$;
    grant select, insert, update, delete on all tables in schema public to feed_reader;
    revoke execute on function pg_control_system() from public`);
  const other = new pg.Client(database.url);
  await other.connect();
  await other.query('set role feed_reader');
  await expect(other.query('select pg_control_system()')).rejects.toMatchObject({ code: '42501' });
  const names = [await head(other), await head(owner), await head(other)].map(({ life }) => life.name);
  expect(new Set(names).size).toBe(1);
  expect(names[0]).toMatch(/^[0-9a-f-]{36}$/);
  await other.end();
  await owner.end();
});

it('knows a row that was rewritten in its place from one that was loaded', async () => {
  await using database = await createTestDatabase();
  const client = new pg.Client(database.url);
  await client.connect();
  const { life } = await head(client);
  for (const rewrite of ['vacuum freeze', 'vacuum full', 'vacuum full freeze']) {
    await query(database.url, `${rewrite} post_changes_history`);
    expect((await head(client)).life).toEqual(life);
  }
  await client.query('create temp table saved as table post_changes_history; delete from post_changes_history');
  await client.query('insert into post_changes_history table saved');
  const again = await head(client);
  expect(again.life.name).not.toBe(life.name);
  expect(again.wasReset).toBe(true);
  await client.end();
});

it('begins no new life where nothing has happened to the server', async () => {
  await using database = await createTestDatabase();
  const client = new pg.Client(database.url);
  await client.connect();
  const first = await head(client);
  const before = await query(database.url, 'select xmin from post_changes_history');
  for (let n = 0; n < 5; n++) expect((await head(client)).life).toEqual(first.life);
  await client.query('select post_changes_adopt()');
  expect(await query(database.url, 'select xmin from post_changes_history')).toEqual(before);
  await client.end();
});
