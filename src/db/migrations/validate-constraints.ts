import { type Kysely, sql } from 'kysely';
import type { Logger } from '#src/observability/logger.ts';

/**
 * Has Postgres check older rows of `posts` against its check constraints. Reads and writes go on meanwhile.
 *
 * A row that breaks one does not fail a deploy: the log names it, and says what to do. The constraint already holds for all writes, so such a
 * row can only be repaired or deleted. Each `migrate` checks again.
 */
export async function validateConstraints(db: Kysely<never>, log?: Pick<Logger, 'warn'>): Promise<void> {
  const { rows } = await sql<Constraint>`
    select conname as name, pg_get_expr(conbin, conrelid) as rule from pg_constraint
    where conrelid = 'posts'::regclass and conname like ${OURS} and not convalidated order by conname`.execute(db);
  for (const constraint of rows) {
    try {
      await sql`alter table posts validate constraint ${sql.ref(constraint.name)}`.execute(db);
    } catch (error) {
      if ((error as { code?: unknown }).code === CHECK_VIOLATION) await tellOfPosts(db, constraint, log);
      else
        log?.warn(
          { err: error, constraint: constraint.name },
          'a rule for posts could not be checked; the next migrate checks it',
        );
    }
  }
}

async function tellOfPosts(db: Kysely<never>, { name, rule }: Constraint, log?: Pick<Logger, 'warn'>): Promise<void> {
  const { rows } = await sql<{ id: string; total: number }>`
    select id, count(*) over ()::int as total from posts where not (${sql.raw(rule)}) order by id limit ${NAMED_MAX}`.execute(
    db,
  );
  const found = { constraint: name, rule, posts: rows.map(({ id }) => id), total: rows[0]?.total ?? 0 };
  log?.warn(
    found,
    `posts break the rule ${name}, so the service can't answer with them or with lists that have them: repair or delete them, and run migrate again`,
  );
}

interface Constraint {
  readonly name: string;
  /** In SQL. */
  readonly rule: string;
}

/** The constraints of the migrations. Constraints that somebody else has added are not validated here. */
const OURS = 'posts\\_readable\\_%';
const CHECK_VIOLATION = '23514';
/** The most rows in one line of the log. */
const NAMED_MAX = 20;
