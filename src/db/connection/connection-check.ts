/**
 * Has Postgres look whether the other end of a connection is still there while a statement runs or waits for a lock. By
 * itself it only looks when it writes, so the statement of a client that was destroyed, or of a service that was killed,
 * would hold its locks until its time limit. Options in the URL come later, and win.
 *
 * https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-CLIENT-CONNECTION-CHECK-INTERVAL
 */
export function withConnectionCheck(url: string): string {
  const parsed = new URL(url);
  const given = parsed.searchParams.get('options') ?? '';
  parsed.searchParams.set('options', `-c client_connection_check_interval=${CONNECTION_CHECK_MS} ${given}`.trimEnd());
  return parsed.href;
}

/** A look is one system call. */
const CONNECTION_CHECK_MS = 100;
