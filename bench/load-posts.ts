import pg from 'pg';
import { ProgressBar } from '#src/cli/progress-bar.ts';
import type { Corpus } from './corpus.ts';
import type { Random } from './random.ts';
import { type SyntheticPost, syntheticPosts } from './synthetic-posts.ts';

/**
 * Fills an empty, migrated database with posts, through its indexes and triggers, then has it vacuumed and analysed. Only the change feed
 * does not hear of them: it would be as large as the posts.
 * A progress line goes to standard error.
 *
 * @returns seconds.
 */
export async function loadPosts(url: string, count: number, corpus: Corpus, random: Random): Promise<number> {
  const begin = performance.now();
  const progress = new ProgressBar(process.stderr);
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query('create temporary table passages (number int primary key, content text not null)');
    await client.query(
      'insert into passages select (n - 1)::int, content from unnest($1::text[]) with ordinality as p (content, n)',
      [corpus.passages],
    );
    await client.query('analyze passages');
    await client.query('alter table posts disable trigger post_changes_add');
    let done = 0;
    for (const batch of batchesOf(BATCH, syntheticPosts(count, corpus, random))) {
      await client.query(INSERT, [JSON.stringify(batch)]);
      done += batch.length;
      progress.update({ done, total: count, failed: 0, current: 'posts' });
    }
    progress.clear();
    await client.query('alter table posts enable trigger post_changes_add');
    await client.query('vacuum (analyze) posts, post_tags');
    await client.query('checkpoint');
  } finally {
    await client.end();
  }
  return (performance.now() - begin) / 1000;
}

const BATCH = 5000;

const INSERT = `
  insert into posts (id, slug, title, content, author, tags, publish_time, create_time, update_time, delete_time,
    purge_time, revision, due_time)
  select i.id, i.slug, i.title, '# ' || i.title || E'\\n\\n' || p.content, i.author, i.tags, i.publish_time,
    i.create_time, i.update_time, i.delete_time, i.delete_time + interval '30 days', i.revision,
    case when i.publish_time > i.update_time and i.publish_time <= now() then i.publish_time end
  from json_to_recordset($1) as i (id uuid, slug text, title text, passage int, author text, tags text[],
    publish_time timestamptz, create_time timestamptz, update_time timestamptz, delete_time timestamptz, revision bigint)
  join passages p on p.number = i.passage`;

function* batchesOf(size: number, posts: Iterable<SyntheticPost>): Generator<SyntheticPost[]> {
  let batch: SyntheticPost[] = [];
  for (const post of posts) {
    batch.push(post);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
