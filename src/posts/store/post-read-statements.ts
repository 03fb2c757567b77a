import { type PostRow, postColumnNames } from '#src/posts/store/post-row.ts';

/**
 * The reads of posts by key, as constant texts, so that nothing is compiled for a call. `taken` is the snapshot of the read. There is always
 * a row with it; without a post, its other columns are null.
 */
export const POST_STATEMENTS = {
  /** `$1`: an id. */
  byId: {
    name: 'post_by_id',
    text: `select s.taken, ${columns('p')} from ${taken()} left join posts p on p.id = $1::uuid`,
  },

  /**
   * `$1`: a slug. The live post, or the post that was deleted last.
   *
   * Two index look-ups: live slugs have a unique index, those of deleted posts one with the time of deletion.
   */
  bySlug: {
    name: 'post_by_slug',
    text: `select s.taken, q.* from ${taken()} left join (
      (select ${columns('p')} from posts p where p.slug = $1 and not p.deleted)
      union all
      (select ${columns('p')} from posts p where p.slug = $1 and p.deleted order by p.delete_time desc, p.id desc limit 1)
      limit 1) q on true`,
  },

  /** `$1`: ids; `$2`: the most bytes of content. If the posts have more, their contents are null, and `fits` is false. */
  many: {
    name: 'many_posts',
    text: `with found as (
        select ${columns('p')}, sum(octet_length(p.content)) over () <= $2 as fits from posts p where p.id = any($1::uuid[])
      )
      select s.taken, f.fits, ${columns('f', 'case when f.fits then f.content end as content')}
      from ${taken()} left join found f on true`,
  },
} as const;

/** A row of these statements. */
export type FoundRow = MaybeNull<PostRow> & { readonly taken: string };

type MaybeNull<T> = { readonly [K in keyof T]: T[K] | null };

function columns(table: string, content = `${table}.content`): string {
  return [...postColumnNames.map(name => `${table}.${name}`), content].join(', ');
}

/** Evaluated once a statement, and not once a row. */
function taken(): string {
  return '(select pg_current_snapshot()::text as taken offset 0) s';
}
