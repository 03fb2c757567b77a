/** The service by its settings. It announces its port as the contestants of the benchmarks do. */
import { openSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { parseConfig } from '#src/config/config.ts';
import { provideDatabase } from '#src/embedded/provide-database.ts';
import { openLogOutput } from '#src/observability/log-output.ts';
import { createLogger } from '#src/observability/logger.ts';
import { startServer } from '#src/server.ts';
import { announce } from '../transport/servers/announce.ts';

const { values } = parseArgs({ options: { database: { type: 'string' }, cache: { type: 'string', default: '0B' } } });
const config = parseConfig({
  PORT: '0',
  ADMIN_PORT: '0',
  DATABASE_URL: values.database,
  PAGE_TOKEN_SECRET: 'x'.repeat(32),
  CACHE_NEAR_BYTES: values.cache,
});
const log = await createLogger(
  { level: 'info', format: 'json' },
  openLogOutput(openSync('/dev/null', 'w')).destination,
);
const server = await startServer(config, log, await provideDatabase(config, log));
announce(Number(new URL(server.url).port));
