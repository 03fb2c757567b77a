import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import type { Logger } from '#src/observability/logger.ts';
import { readCorpus } from './corpus.ts';
import { loadPosts } from './load-posts.ts';
import { Random } from './random.ts';

/**
 * Starts a Postgres full of posts, with the settings that the service gives it. Only while it is filled does nothing wait
 * for the disk.
 *
 * @param options.dataDir where it is; filled before with as many posts, it is used as it is.
 * @param options.postsDir the Markdown posts that its posts are made of.
 */
export async function startPostsDatabase(options: {
  readonly dataDir: string;
  readonly postsDir: string;
  readonly count: number;
  readonly log: Logger;
}): Promise<EmbeddedPostgres> {
  const { dataDir, postsDir, count, log } = options;
  // Written when all is done, so that a run that was interrupted starts again.
  const complete = join(dataDir, `complete-${count}`);
  if (!(await exists(complete))) {
    await rm(dataDir, { recursive: true, force: true });
    const random = new Random(1);
    const corpus = await readCorpus(postsDir, random);
    await using postgres = await startEmbeddedPostgres({ dataDir, log, settings: LOAD_SETTINGS });
    await migrateToLatest(postgres.url);
    const seconds = await loadPosts(postgres.url, count, corpus, random);
    console.log(`${count} posts loaded, vacuumed and analysed in ${seconds.toFixed(0)} s`);
  }
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  await writeFile(complete, '');
  return postgres;
}

const LOAD_SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '8GB',
  shared_buffers: '1GB',
  maintenance_work_mem: '512MB',
};

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
