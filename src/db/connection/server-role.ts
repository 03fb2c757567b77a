import pg from 'pg';
import { withTimeout } from '#src/async/with-timeout.ts';
import type { SessionAttrs } from '#src/config/database-url.ts';

/** The role of a server, by its own answer. */
export interface ServerRole {
  /** It replays the writes of another server. */
  readonly isStandby: boolean;
  /** Its transactions are read-only by default: a standby, or a primary that was made read-only. */
  readonly isReadOnly: boolean;
}

/** The server is not the wanted one, such as a standby where the primary is wanted. */
export class UnwantedServerError extends Error {
  override readonly name = 'UnwantedServerError';
}

/**
 * Asks the server of a connection for its role.
 *
 * It does not rely on `in_hot_standby`, which Postgres reports at login: behind PgBouncer that may be long out of date.
 *
 * @throws if there is no answer within the limit, in milliseconds.
 */
export async function readServerRole(client: pg.ClientBase, withinMs: number): Promise<ServerRole> {
  const { rows } = await withTimeout(withinMs, client.query<ServerRole>(READ_ROLE));
  return rows[0] as ServerRole;
}

/** The timeline that a primary writes. Of two primaries, the one with the higher timeline was promoted later. 0: it does not say. */
export async function readTimeline(client: pg.ClientBase, withinMs: number): Promise<number> {
  // A standby writes no timeline, and some managed services refuse the function.
  const asked = client.query<{ segment: string }>('select pg_walfile_name(pg_current_wal_lsn()) as segment');
  const segment = await withTimeout(withinMs, asked).then(
    ({ rows }) => rows[0]?.segment,
    () => undefined,
  );
  return Number.parseInt(segment?.slice(0, 8) ?? '0', 16);
}

/** Whether a server matches `target_session_attrs`: https://www.postgresql.org/docs/current/libpq-connect.html */
export function isWanted({ isStandby, isReadOnly }: ServerRole, wanted: SessionAttrs): boolean {
  if (wanted === 'any' || wanted === 'prefer-standby') return true;
  if (wanted === 'read-write') return !isReadOnly;
  if (wanted === 'read-only') return isReadOnly;
  return isStandby === (wanted === 'standby');
}

/**
 * Whether connections may stay on a server until a better one is found. A read-only primary still answers reads, as during maintenance. A standby
 * may be behind.
 */
export function isBearable(role: ServerRole, wanted: SessionAttrs): boolean {
  return isWanted(role, wanted) || (wanted === 'read-write' && !role.isStandby);
}

/** Such as `a primary`, for the log. */
export function describeRole({ isStandby, isReadOnly }: ServerRole): string {
  if (isStandby) return 'a standby';
  return isReadOnly ? 'read-only (default_transaction_read_only)' : 'a primary';
}

/** Whether Postgres refused a write because the server or the session is read-only (25006, read_only_sql_transaction). */
export function saysReadOnly(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '25006';
}

const READ_ROLE = `
  select pg_is_in_recovery() as "isStandby", current_setting('transaction_read_only')::bool as "isReadOnly"`;
