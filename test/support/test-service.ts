import { randomBytes } from 'node:crypto';
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { parseConfig } from '#src/config/config.ts';
import { provideDatabase } from '#src/embedded/provide-database.ts';
import { createLogger } from '#src/observability/logger.ts';
import { startServer } from '#src/server.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { createTestDatabase } from '#test/support/postgres.ts';

/** The whole service on free ports, with a database of its own, and a client of it. */
export interface TestService extends AsyncDisposable {
  readonly url: string;
  readonly adminUrl: string;
  readonly databaseUrl: string;
  readonly client: Client<typeof PostService>;
  /** What the service has logged, from level info. */
  readonly log: LogLines;
}

/**
 * Starts the service as it is in production, from its settings on.
 *
 * @param settings more of them, by their names; with a `DATABASE_URL` no database is made.
 */
export async function startTestService(settings: Readonly<Record<string, string>> = {}): Promise<TestService> {
  await using parts = new AsyncDisposableStack();
  const databaseUrl = settings.DATABASE_URL ?? parts.use(await createTestDatabase()).url;
  const config = parseConfig({
    PORT: '0',
    ADMIN_PORT: '0',
    DATABASE_URL: databaseUrl,
    PAGE_TOKEN_SECRET: randomBytes(32).toString('hex'),
    // A machine that is busy with other tests is no reason to refuse a call.
    DATABASE_ACQUIRE_TIMEOUT: '30s',
    DATABASE_SLOW_CALL: '1h',
    OVERLOAD_DELAY: '1h',
    ...settings,
  });
  const log = new LogLines();
  const logger = await createLogger({ level: 'info', format: 'json' }, log);
  const { url, adminUrl } = parts.use(await startServer(config, logger, await provideDatabase(config, logger)));
  const client = createClient(PostService, createConnectTransport({ baseUrl: url, httpVersion: '1.1' }));
  const closing = parts.move();
  return { url, adminUrl, databaseUrl, client, log, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}
