import { type Kysely, sql } from 'kysely';

/**
 * Refuses posts that the service could not answer with, so that one row that somebody writes by hand does not take whole lists down.
 *
 * - Times are within the years 1 to 9999, which a google.protobuf.Timestamp can say: no infinity, no date BC.
 * - Tags are a list without nulls: Postgres would take a matrix, too.
 * - A post fits into an answer of 4 MiB. The limits of the API are narrower; rows beyond those can be read.
 *
 * Rows that are there already are not looked at here, under a lock that stops all calls: see src/db/migrations/validate-constraints.ts.
 */
export async function up(db: Kysely<never>): Promise<void> {
  // Of the connection, too; a pooler may have dropped it there.
  await sql`set local lock_timeout = '5s'`.execute(db);
  const times = ['publish_time', 'create_time', 'update_time', 'delete_time', 'purge_time'].map(
    name => [name, sql`${sql.ref(name)} between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999+00'`] as const,
  );
  const rules = [
    ...times,
    ['tags', sql`coalesce(array_ndims(tags), 1) = 1 and array_position(tags, null) is null`] as const,
    ['content', sql`octet_length(content) <= 3 * 1024 * 1024`] as const,
    [
      'texts',
      sql`octet_length(slug) + octet_length(title) + octet_length(author)
        + octet_length(array_to_string(tags, '')) + 8 * cardinality(tags) <= 64 * 1024`,
    ] as const,
  ];
  const constraints = rules.map(
    ([name, rule]) => sql`add constraint ${sql.ref(`posts_readable_${name}`)} check (${rule}) not valid`,
  );
  await sql`alter table posts ${sql.join(constraints)}`.execute(db);
}
