import pg from 'pg';

/** The database can't be reached, or has no connection to spare: the caller may try again later. */
export class DatabaseUnavailableError extends Error {
  override readonly name = 'DatabaseUnavailableError';
}

/** No connection of ours was free: that says how busy we are, and nothing of the database. */
export class PoolExhaustedError extends DatabaseUnavailableError {}

/** A statement waited too long for a lock, or could not be serialized: the same write may work when it is repeated. */
export class WriteConflictError extends Error {
  override readonly name = 'WriteConflictError';
}

/** Of these, those that Postgres gave up for another transaction, at once: the next attempt meets no such one in most cases. */
export class SerializationError extends WriteConflictError {}

/** Postgres ended a statement at its time limit. */
export class StatementTimeoutError extends Error {
  override readonly name = 'StatementTimeoutError';
}

/**
 * Says what a driver's error means for the caller. Errors with another meaning, such as a broken constraint, come back
 * as they are: the place of the query knows what those mean.
 *
 * SQLSTATE classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function translateDriverError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DatabaseUnavailableError) return error;
  // What is no answer of Postgres is a broken, refused or timed-out connection.
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
 * Whether the connection is still good after this error: Postgres answered, and neither ended the session nor lost
 * track of it. A server that takes no writes (25006) is good for nothing here: a new connection may lead to the primary.
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
