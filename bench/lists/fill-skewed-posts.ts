import type pg from 'pg';

/** How the states of posts lie along the order of their creation. */
export const DISTRIBUTIONS: Readonly<Record<string, string>> = {
  'every state everywhere': `case i % 20 when 1 then 'draft' when 2 then 'scheduled' else 'published' end`,
  'few drafts and scheduled, in the middle': `case when abs(i - n / 2) > 60 then 'published' when i % 3 = 0 then 'draft'
    when i % 3 = 1 then 'scheduled' else 'published' end`,
  'few published, between drafts and scheduled': `case when abs(i - n / 2) < 60 then 'published' when i < n / 2 then 'draft'
    else 'scheduled' end`,
};

/**
 * Replaces all posts by as many as `count`, as no blog has them. One author has half of them, and others a few hundred each. One tag is on
 * all of them; a fifth is deleted, and two fifths were updated. Lists by the time of creation have old ones deep down, as always.
 */
export async function fillSkewedPosts(client: pg.Client, distribution: string, count: number): Promise<void> {
  const state = DISTRIBUTIONS[distribution];
  if (state === undefined) throw new Error(`no distribution '${distribution}'`);
  const { rows: indexes } = await client.query<{ name: string; definition: string }>(`
    select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition from pg_index
    where indrelid in ('posts'::regclass, 'post_tags'::regclass) and not indisprimary`);
  await client.query('truncate posts, post_tags');
  for (const { name } of indexes) await client.query(`drop index ${name}`);
  await client.query('begin');
  await client.query("set local session_replication_role = 'replica'");
  await client.query(`
    insert into posts (id, slug, title, content, author, tags, publish_time, create_time, update_time, delete_time, purge_time, due_time)
    select id, 'post-' || i, 'Post ' || i, repeat('Some words. ', 20), author, tags, publish_time, create_time, update_time, delete_time,
      delete_time + interval '300 days', case when publish_time > update_time and publish_time <= now() then publish_time end
    from (
      select i, (lpad(to_hex(1600000000000 + i * 10), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid as id,
        case when i % 2 = 0 then 'prolific' else 'author-' || i % 997 end as author,
        array['all', 'tag-' || i % 1009] as tags,
        case state when 'published' then created + interval '1 minute' when 'scheduled' then now() + (i % 1000 + 1) * interval '1 day' end as publish_time,
        created as create_time,
        least(now(), case when i % 5 = 0 then created + interval '2 days' when i % 5 < 3 then created + i % 100000 * interval '1 minute' else created end) as update_time,
        case when i % 5 = 0 then least(now(), created + interval '2 days') end as delete_time
      from (select i, ${state} as state, now() - interval '1000 days' + i * interval '1000 days' / n as created
        from (select i, ${count}::bigint as n from generate_series(1::bigint, ${count}) i) s) s
    ) s`);
  await client.query(`
    insert into post_tags (tag, author, deleted, create_time, update_time, publish_order, due_time, post_id)
    select u.tag, p.author, p.deleted, p.create_time, p.update_time, p.publish_order, p.due_time, p.id
    from posts p cross join unnest(p.tags) u (tag)`);
  await client.query('commit');
  for (const { definition } of indexes) await client.query(definition);
  await client.query('vacuum (analyze) posts, post_tags');
  await client.query('checkpoint');
}
