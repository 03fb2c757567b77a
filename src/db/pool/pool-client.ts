import type { DatabaseConfig } from '#src/config/config.ts';
import { COLUMN_TYPES } from '#src/db/column-types.ts';
import { PrimaryClient } from '#src/db/connection/primary-client.ts';
import type { PrimaryHost } from '#src/db/connection/primary-host.ts';
import type { RowShape } from '#src/db/prepared-query.ts';

/** An open connection of a pool. */
export interface PoolClient {
  readonly client: PrimaryClient;
  /** The shapes of its prepared statements; undefined: it prepares none. */
  readonly shapes: Map<string, RowShape> | undefined;
  readonly generation: number;
  readonly expiresAt: number;
  idleSince: number;
}

/** A client with the settings' time limits, not connected yet. */
export function createPoolClient(host: PrimaryHost, options: DatabaseConfig): PrimaryClient {
  const { statementTimeoutMs, lockTimeoutMs, transactionIdleTimeoutMs, acquireTimeoutMs } = options;
  return new PrimaryClient(host, {
    types: COLUMN_TYPES,
    application_name: 'postservice',
    connectionTimeoutMillis: Math.max(acquireTimeoutMs, OPEN_TIMEOUT_MS),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    statement_timeout: statementTimeoutMs,
    lock_timeout: lockTimeoutMs,
    idle_in_transaction_session_timeout: transactionIdleTimeoutMs,
  });
}

/** Ends a client. Does not wait for a frozen server's goodbye. Never rejects. */
export async function endPoolClient(client: PrimaryClient): Promise<void> {
  const patience = setTimeout(() => client.cut(), END_TIMEOUT_MS).unref();
  await client.end().catch(() => {});
  clearTimeout(patience);
}

/** Longer than callers wait, because the connection then serves later callers. */
const OPEN_TIMEOUT_MS = 1000;
/** The time limit of a server for ending a connection, and of running statements at the end of the pool. */
export const END_TIMEOUT_MS = 1000;
