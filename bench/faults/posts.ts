import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { PrivatePostgres } from '#test/support/private-postgres.ts';
import { startPrivatePostgres } from '#test/support/private-postgres.ts';

/** A Postgres of its own that keeps what it acknowledges, with posts of a kilobyte. */
export interface PostsUnderFault extends AsyncDisposable {
  readonly postgres: PrivatePostgres;
  readonly ids: readonly string[];
}

export async function startPosts(settings: Readonly<Record<string, string>> = {}): Promise<PostsUnderFault> {
  const postgres = await startPrivatePostgres({
    settings: { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on', ...settings },
  });
  const ids = await insertPosts(postgres.url);
  return { postgres, ids, [Symbol.asyncDispose]: () => postgres[Symbol.asyncDispose]() };
}

/** Posts of a kilobyte. @returns their ids. */
export async function insertPosts(url: string): Promise<string[]> {
  const ids = Array.from({ length: POSTS }, () => uuidv7());
  const client = new pg.Client(url);
  await client.connect();
  await client.query(
    `insert into posts (id, slug, title, content, author, tags, create_time, update_time)
     select id, 'post-' || id, 'Post ' || n, repeat('x', 1024), 'Ann', '{}', now(), now()
     from unnest($1::uuid[]) with ordinality as p (id, n)`,
    [ids],
  );
  await client.query('analyze posts');
  await client.end();
  return ids;
}

const POSTS = 2000;
