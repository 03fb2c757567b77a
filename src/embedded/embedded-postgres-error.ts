/** The embedded Postgres can't run; the message says why, and what to do where that is known, in one line. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
}
