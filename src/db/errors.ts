import pg from 'pg';

/** The database cannot be reached, or has no free connection. The caller may retry later. */
export class DatabaseUnavailableError extends Error {
  override readonly name = 'DatabaseUnavailableError';
}

/** No connection was free. That shows our own load, and nothing about the database. */
export class PoolExhaustedError extends DatabaseUnavailableError {}

/** A statement waited too long for a lock, or could not be serialized. The same write may succeed when repeated. */
export class WriteConflictError extends Error {
  override readonly name = 'WriteConflictError';
}

/** Postgres aborted the write at once in favour of another transaction. The next attempt usually meets none. */
export class SerializationError extends WriteConflictError {}

/** Postgres ended a statement at its time limit. */
export class StatementTimeoutError extends Error {
  override readonly name = 'StatementTimeoutError';
}

/**
 * Translates a driver's error for the caller. Errors with another meaning, such as a violated constraint, come back unchanged, because only
 * the query knows them.
 *
 * SQLSTATE classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function translateDriverError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DatabaseUnavailableError) return error;
  // An error that is not an answer of Postgres is a broken, refused or timed-out connection.
  if (!(error instanceof pg.DatabaseError)) {
    return new DatabaseUnavailableError('the database cannot be reached', { cause: error });
  }
  const { code = '' } = error;
  if (UNAVAILABLE.some(prefix => code.startsWith(prefix))) {
    return new DatabaseUnavailableError('the database is not available', { cause: error });
  }
  if (code === LOCK_NOT_AVAILABLE) return new WriteConflictError('the write met a concurrent one', { cause: error });
  if (SERIALIZATION.includes(code)) return new SerializationError('the write met a concurrent one', { cause: error });
  if (code === QUERY_CANCELED) {
    return new StatementTimeoutError('the statement took longer than it may', { cause: error });
  }
  return error;
}

/**
 * Whether the connection is usable after this error: Postgres answered, and neither ended the session nor lost track of it. A server that
 * takes no writes (25006) is not usable: a new connection may lead to the primary.
 */
export function leavesConnectionUsable(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false;
  if (error.code?.startsWith('08') || error.code === '25006') return false;
  return error.severity !== 'FATAL' && error.severity !== 'PANIC';
}

/** Connection exceptions, insufficient resources, operator intervention (shutdown, crash, starting up), I/O errors. */
const UNAVAILABLE = ['08', '53', '57P', '58', '25006'];
const LOCK_NOT_AVAILABLE = '55P03';
/** Serialization failure, deadlock. */
const SERIALIZATION = ['40001', '40P01'];
const QUERY_CANCELED = '57014';
