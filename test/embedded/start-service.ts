import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { createLogger } from '#src/observability/logger.ts';

// A process that starts the embedded Postgres, as the service does, and then waits. Tests start it with the options as
// JSON, kill it, and read the outcome from its output: one line with `url` and `location`, or with `error`.
const options = JSON.parse(process.argv[2] ?? '{}');
const log = await createLogger({ level: 'silent', format: 'json' });
try {
  const { url, location } = await startEmbeddedPostgres({ ...options, log });
  process.stdout.write(`${JSON.stringify({ url, location })}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`);
}
