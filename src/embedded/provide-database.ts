import type { Config } from '#src/config/config.ts';
import type { Logger } from '#src/observability/logger.ts';

/** The database that the service uses. Disposing of it stops what was started for it. */
export interface ProvidedDatabase extends AsyncDisposable {
  readonly url: string;
}

/**
 * The database of DATABASE_URL, as it is; without that, the embedded Postgres, started and with an up-to-date schema.
 *
 * @throws where the embedded Postgres can't be started.
 */
export async function provideDatabase(config: Config, log: Logger): Promise<ProvidedDatabase> {
  if (config.database.url !== undefined) return { url: config.database.url, [Symbol.asyncDispose]: async () => {} };
  const { startEmbeddedPostgres } = await import('#src/embedded/embedded-postgres.ts');
  const postgres = await startEmbeddedPostgres({ dataDir: config.dataDir, log });
  try {
    const { migrateToLatest } = await import('#src/db/migrations/migrate.ts');
    await migrateToLatest(postgres.url, log);
    return postgres;
  } catch (error) {
    await postgres[Symbol.asyncDispose]();
    throw error;
  }
}
