/**
 * Has Postgres check, while a statement runs or waits for a lock, whether its client is still connected. By default it checks only when it
 * writes. Then the statement of a destroyed client, or of a killed service, would hold its locks until its time limit. Options in the URL
 * come later, and win.
 *
 * https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-CLIENT-CONNECTION-CHECK-INTERVAL
 */
export function withConnectionCheck(url: string): string {
  const parsed = new URL(url);
  const given = parsed.searchParams.get('options') ?? '';
  parsed.searchParams.set('options', `-c client_connection_check_interval=${CONNECTION_CHECK_MS} ${given}`.trimEnd());
  return parsed.href;
}

/** Each check is one system call. */
const CONNECTION_CHECK_MS = 100;
