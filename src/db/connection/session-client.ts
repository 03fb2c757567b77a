import pg from 'pg';

/**
 * A connection that sets every parameter on which the service's statements and values depend. So the defaults of the server, the database and
 * the role do not matter (`alter database … set datestyle = 'SQL, DMY'`). Every connection of the service is one.
 *
 * Two parameters stay as they are set there. `search_path` may lead to a deployment's own schema. With `default_transaction_read_only`, people
 * and providers stop all writes.
 *
 * A pooler in transaction mode drops `options`, but keeps SESSION_PARAMETERS for each client. So what the service reads must not depend on
 * SESSION_OPTIONS: it reads no floats and no intervals, reads bytea in both forms, and each transaction names its isolation.
 */
export class SessionClient extends (pg.Client as unknown as DriverClientClass) {
  override getStartupConf(): StartupParameters {
    const { options = '', ...parameters } = super.getStartupConf();
    return { ...SESSION_PARAMETERS, ...parameters, options: [NO_LIMITS, options, SESSION_OPTIONS].join(' ') };
  }
}

/**
 * Spelled as Postgres reports them, or PgBouncer would set them again and again. PgBouncer tracks all of them. PgJDBC sends all but the last, so
 * every pooler knows them. pg itself sends `client_encoding`.
 */
const SESSION_PARAMETERS = { DateStyle: 'ISO, MDY', TimeZone: 'UTC', standard_conforming_strings: 'on' };

/**
 * They come last, so that options in the URL do not override them. A space in a value has a backslash before it. `jit` is off because statements
 * are short: compiling one takes seconds when the planner knows too little of its tables.
 */
const SESSION_OPTIONS = [
  'IntervalStyle=postgres',
  'extra_float_digits=1',
  'bytea_output=hex',
  'array_nulls=on',
  'transform_null_equals=off',
  'default_transaction_isolation=read\\ committed',
  'default_transaction_deferrable=off',
  'exit_on_error=off',
  'jit=off',
]
  .map(option => `-c ${option}`)
  .join(' ');

/** A connection has the time limits that it was opened with. Those limits, and options in the URL, win. */
const NO_LIMITS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout']
  .map(limit => `-c ${limit}=0`)
  .join(' ');

type StartupParameters = Readonly<Record<string, string>> & { readonly options?: string };

/** Missing in pg's types. */
type DriverClientClass = new (config?: pg.ClientConfig) => pg.Client & { getStartupConf(): StartupParameters };
