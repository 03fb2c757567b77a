import type pg from 'pg';
import type { Database } from '#src/db/database.ts';
import type { PostFilter, PostOrder, PostStore } from '#src/posts/post-store.ts';
import { postListQuery } from '#src/posts/store/post-list-query.ts';
import { type Explained, explain } from '../explain.ts';
import { type Measured, measureInterleaved } from '../interleaved-rounds.ts';
import { formatOrder, ORDERS, PAGE_SIZE, pageQuery } from '../list-cases.ts';

/** What the first and the last full page of a list cost. */
export interface ListPlan {
  readonly list: string;
  /** Pages of 8 KiB that a page of the list reads. */
  readonly buffers: { readonly first: number; readonly deep: number };
  /** Milliseconds: medians. */
  readonly ms: { readonly first: number; readonly control: number; readonly deep: number };
  readonly indexes: readonly string[];
  readonly detours: readonly string[];
}

/** Each filter with each state, with deleted posts and without, in each order. */
export function listCombinations(): {
  readonly name: string;
  readonly filter: PostFilter;
  readonly order: PostOrder;
}[] {
  const filters = [
    {},
    { author: 'prolific' },
    { author: 'author-501' },
    { tag: 'all' },
    { tag: 'tag-501' },
    { author: 'prolific', tag: 'all' },
    { author: 'author-501', tag: 'all' },
  ];
  return filters.flatMap(scope =>
    STATES.flatMap(state =>
      [false, true].flatMap(showDeleted =>
        ORDERS.map(order => {
          const filter: PostFilter = { author: undefined, tag: undefined, ...scope, state, showDeleted };
          const names = [...Object.values(scope), state ?? 'any state', ...(showDeleted ? ['deleted too'] : [])];
          return { name: `${names.join(', ')}, ${formatOrder(order)}`, filter, order };
        }),
      ),
    ),
  );
}

/** Measures one list. Where its pages seem to differ, it looks again for longer. */
export async function measureListPlan(
  { name, filter, order }: ReturnType<typeof listCombinations>[number],
  { db, client, store, rounds }: ListPlanBench,
): Promise<ListPlan> {
  // From the end: the place of the last post before the last full page.
  const back = { ...order, descending: !order.descending };
  const last = await store.list(pageQuery(filter, back, { skip: PAGE_SIZE, limit: 1 }));
  const before = last.posts[0];
  const after = before && { time: before[order.by], id: before.id };
  const queries = { first: pageQuery(filter, order), deep: pageQuery(filter, order, { after }) };
  const plan = (query: typeof queries.first) => explain(client, postListQuery(query).compile(db), 12 * (PAGE_SIZE + 1));
  const plans: Record<'first' | 'deep', Explained> = {
    first: await plan(queries.first),
    deep: await plan(queries.deep),
  };
  const arms = {
    first: () => store.list(queries.first),
    control: () => store.list(queries.first),
    deep: () => store.list(queries.deep),
  };
  let measured = await measureInterleaved(arms, { rounds, calls: 3 });
  for (let more = 2; more <= 8 && deepRatio(measured) > 1.2; more *= 2) {
    measured = await measureInterleaved(arms, { rounds: more * rounds, calls: 3 });
  }
  const [first, control, deep] = [measured.first, measured.control, measured.deep].map(({ ms }) => ms.median);
  return {
    list: name,
    buffers: { first: plans.first.buffers, deep: plans.deep.buffers },
    ms: { first: first ?? 0, control: control ?? 0, deep: deep ?? 0 },
    indexes: plans.deep.indexes,
    detours: [...new Set([...plans.first.detours, ...plans.deep.detours])],
  };
}

function deepRatio({ first, deep }: Record<'first' | 'deep', Measured>): number {
  return deep.ms.median / first.ms.median;
}

const STATES = [undefined, 'draft', 'scheduled', 'published'] as const;

interface ListPlanBench {
  readonly db: Database;
  readonly client: pg.Client;
  readonly store: PostStore;
  readonly rounds: number;
}
