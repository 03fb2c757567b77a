import pg from 'pg';

/** The author of the largest posts. */
export const LARGE_AUTHOR = 'Of large posts';

/** Posts of 1 MiB of a character that JSON escapes with six. A page has three of them: 18 MiB in JSON. */
export async function insertLargePosts(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(
    `insert into posts (id, slug, title, content, author, tags, create_time, update_time)
     select gen_random_uuid(), 'large-' || n, 'Large ' || n, repeat(chr(1), 1048576), $1, '{}', now(), now()
     from generate_series(1, 40) n`,
    [LARGE_AUTHOR],
  );
  await client.end();
}
