/** The database in the Postgres of the test run that every test's own is cloned from: migrated and empty. */
export const TEMPLATE = 'postservice_template';

declare module 'vitest' {
  interface ProvidedContext {
    /** Of the Postgres of the test run. */
    postgresUrl: string;
  }
}
