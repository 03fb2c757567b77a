import { sql } from 'kysely';

/** The transaction that a statement writes in, for it to return. */
export const WRITTEN_BY_TEXT = 'pg_current_xact_id()::text as xid, (select post_changes_timeline())::int8 as timeline';
export const WRITTEN_BY = sql.raw(WRITTEN_BY_TEXT);

/** The columns of WRITTEN_BY, as pg reads them. */
export interface WrittenBy {
  readonly xid: string;
  /** Of the server: each promotion of a standby begins one. Null: it does not say. */
  readonly timeline: string | null;
}
