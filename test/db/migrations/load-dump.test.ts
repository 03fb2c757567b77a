import pg from 'pg';
import { expect, it } from 'vitest';
import { createTestDatabase } from '#test/support/postgres.ts';

it('a dump of the posts loads into a migrated database, and so does any statement without a search path', async () => {
  await using database = await createTestDatabase();
  const client = new pg.Client(database.url);
  await client.connect();
  const all = async (text: string) => (await client.query(text)).rows;
  // As each dump of pg_dump begins.
  await client.query("select pg_catalog.set_config('search_path', '', false)");
  await client.query(`insert into public.posts (id, slug, title, content, author, tags, create_time, update_time)
    values (gen_random_uuid(), 'one', 'One', '', '', '{a,b}', now(), now()), (gen_random_uuid(), 'two', 'Two', '', '', '{a}', now(), now())`);
  expect(await all('select tag from public.post_tags order by tag')).toEqual([
    { tag: 'a' },
    { tag: 'a' },
    { tag: 'b' },
  ]);
  await client.query("update public.posts set tags = '{c}' where slug = 'one'");
  await client.query("delete from public.posts where slug = 'two'");
  expect(await all('select tag from public.post_tags')).toEqual([{ tag: 'c' }]);
  expect(await all('select kind from public.post_changes order by id')).toEqual([
    ...[{ kind: 'created' }, { kind: 'created' }, { kind: 'updated' }, { kind: 'purged' }],
  ]);
  await client.query('delete from public.post_changes');
  await client.query('truncate public.posts');
  expect(await all('select tag from public.post_tags')).toEqual([]);
  await client.query('select public.post_changes_adopt()');
  await client.end();
});
