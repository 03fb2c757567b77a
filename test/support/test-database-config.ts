import { type DatabaseConfig, parseConfig } from '#src/config/config.ts';

/** The pool's settings at their defaults, but for those that matter to a test. */
export function aDatabaseConfig(fields: Partial<DatabaseConfig> = {}): DatabaseConfig {
  // A machine that is busy with other tests is no reason to refuse a connection.
  return { ...parseConfig({}).database, acquireTimeoutMs: 30_000, ...fields };
}
