import pg from 'pg';

/**
 * A connection that means by each statement and each value what the service means, whatever the defaults of the server, the database and
 * the role are (`alter database … set datestyle = 'SQL, DMY'`). Every connection of the service is one.
 *
 * What stays as it is set there: `search_path`, since a deployment may keep the tables in a schema of its own; and
 * `default_transaction_read_only`, by which people and providers stop all writes.
 *
 * A pooler in transaction mode drops `options`, but keeps SESSION_PARAMETERS for each of its clients. So nothing that the service reads may
 * depend on SESSION_OPTIONS there: no floats, no intervals; bytea is read in both forms; and each transaction names its isolation.
 */
export class SessionClient extends (pg.Client as unknown as DriverClientClass) {
  override getStartupConf(): StartupParameters {
    const { options = '', ...parameters } = super.getStartupConf();
    return { ...SESSION_PARAMETERS, ...parameters, options: [NO_LIMITS, options, SESSION_OPTIONS].join(' ') };
  }
}

/**
 * Written as Postgres reports them, or PgBouncer would set them again and again. They are those that PgBouncer tracks, and, but for the
 * last, those that PgJDBC sends, so every pooler knows them. `client_encoding` is pg's own.
 */
const SESSION_PARAMETERS = { DateStyle: 'ISO, MDY', TimeZone: 'UTC', standard_conforming_strings: 'on' };

/**
 * They come last, so that none in the URL goes before them. A space in a value has a backslash before it. Statements here are short: to
 * compile one (`jit`), where the planner knows too little of its tables, takes seconds.
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

/** The time limits of a connection are those that it was opened with, and no others. Options in the URL, and those limits, win. */
const NO_LIMITS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout']
  .map(limit => `-c ${limit}=0`)
  .join(' ');

type StartupParameters = Readonly<Record<string, string>> & { readonly options?: string };

/** What pg's types leave out. */
type DriverClientClass = new (config?: pg.ClientConfig) => pg.Client & { getStartupConf(): StartupParameters };
