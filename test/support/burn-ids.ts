import pg from 'pg';

/**
 * Uses up transaction ids as failing writes do: nothing of them is flushed, so that a crash soon afterwards gives them out again. Resolves
 * with the last one.
 */
export async function burnIds(url: string, count: number): Promise<bigint> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query('begin');
    const { rows } = await client.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
    // Each writes something, which gives it an id, and takes it back.
    await client.query(`do $$ begin
      for n in 1..${count} loop
        begin
          update post_changes_removed set xid = xid;
          raise exception 'burnt';
        exception when raise_exception then null;
        end;
      end loop;
    end $$`);
    await client.query('rollback');
    return BigInt(rows[0]?.xid ?? 0) + BigInt(count);
  } finally {
    await client.end();
  }
}

/** The settings of a Postgres that flushes nothing by itself, so that a crash loses all that nobody waited for. */
export const NOTHING_FLUSHED = { wal_writer_delay: '10s', autovacuum: 'off' };
