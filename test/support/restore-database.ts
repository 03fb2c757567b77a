import pg from 'pg';

/**
 * Loads all that one database has into another one, which has the service's schema, as a dump and a restore do: every row as it was,
 * transaction ids too, and no trigger runs.
 */
export async function restoreDatabase(fromUrl: string, toUrl: string): Promise<void> {
  const [from, to] = [new pg.Client(fromUrl), new pg.Client(toUrl)];
  await Promise.all([from.connect(), to.connect()]);
  try {
    await to.query('begin');
    await to.query('set local session_replication_role = replica');
    for (const table of TABLES) {
      const { rows: columns } = await to.query<{ name: string }>(
        `select attname as name from pg_attribute
         where attrelid = '${table}'::regclass and attnum > 0 and attgenerated = '' and not attisdropped`,
      );
      const names = columns.map(({ name }) => name).join(', ');
      const { rows } = await from.query<{ all: unknown }>(`select coalesce(json_agg(t), '[]') as all from ${table} t`);
      await to.query(`delete from ${table}`);
      await to.query(
        `insert into ${table} (${names}) overriding system value
         select ${names} from json_populate_recordset(null::${table}, $1)`,
        [JSON.stringify(rows[0]?.all)],
      );
    }
    await to.query(`select setval('post_changes_id_seq', greatest(1, (select max(id) from post_changes)))`);
    await to.query('commit');
  } finally {
    await Promise.all([from.end(), to.end()]);
  }
}

const TABLES = [
  'posts',
  'post_tags',
  'create_requests',
  'post_changes',
  'post_changes_removed',
  'post_changes_history',
];
