import type { Config } from '#src/config/config.ts';
import type { Logger } from '#src/observability/logger.ts';

/** The database of the service. Disposing of it stops the embedded Postgres, if that was started. */
export interface ProvidedDatabase extends AsyncDisposable {
  readonly url: string;
}

/**
 * Returns the database of DATABASE_URL. If that is unset, starts the embedded Postgres and migrates its schema.
 *
 * @throws if the embedded Postgres can't be started or migrated.
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
