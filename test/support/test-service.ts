import { randomBytes } from 'node:crypto';
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { parseConfig } from '#src/config.ts';
import { provideDatabase } from '#src/embedded/provide-database.ts';
import { createLogger } from '#src/observability/logger.ts';
import { startServer } from '#src/server.ts';
import { createTestDatabase } from '#test/support/postgres.ts';

/** The whole service on free ports, with a database of its own, and a client of it. */
export interface TestService extends AsyncDisposable {
  readonly url: string;
  readonly client: Client<typeof PostService>;
}

/** Starts the service as it is in production, from its settings on. */
export async function startTestService(): Promise<TestService> {
  await using parts = new AsyncDisposableStack();
  const database = parts.use(await createTestDatabase());
  const config = parseConfig({
    PORT: '0',
    ADMIN_PORT: '0',
    DATABASE_URL: database.url,
    PAGE_TOKEN_SECRET: randomBytes(32).toString('hex'),
    // A machine that is busy with other tests is no reason to refuse a call.
    DATABASE_ACQUIRE_TIMEOUT: '30s',
  });
  const log = await createLogger({ level: 'silent', format: 'json' });
  const { url } = parts.use(await startServer(config, log, await provideDatabase(config, log)));
  const client = createClient(PostService, createConnectTransport({ baseUrl: url, httpVersion: '1.1' }));
  const closing = parts.move();
  return { url, client, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}
