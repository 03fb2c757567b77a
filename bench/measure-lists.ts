import type pg from 'pg';
import type { Database } from '#src/db/database.ts';
import type { PostOrder, PostPage, PostStore } from '#src/posts/post-store.ts';
import { postListQuery } from '#src/posts/store/post-list-query.ts';
import { type Explained, explain } from './explain.ts';
import { type Measured, measureInterleaved } from './interleaved-rounds.ts';
import { type FilterCase, formatOrder, PAGE_SIZE, pageQuery } from './list-cases.ts';
import { type Quartiles, quartiles } from './quartiles.ts';

/** What a list costs on its first page, and deep. */
export interface MeasuredList {
  readonly filter: string;
  readonly order: string;
  readonly posts: number;
  /** The number of the deep page. */
  readonly deepPage: number;
  readonly first: Measured;
  /** The first page once more: what differs is noise. */
  readonly control: Measured;
  readonly deep: Measured;
  /** The deep page by OFFSET, in milliseconds. */
  readonly offsetMs: Quartiles;
  readonly plans: { readonly first: Explained; readonly deep: Explained };
}

/**
 * Measures a list's first page against page `deepest`, or its last full page where it has fewer, through the store.
 *
 * @throws where the deep page has other posts than OFFSET gives, or is not full.
 */
export async function measureList(
  { name, filter, posts }: FilterCase,
  order: PostOrder,
  { db, client, store, deepest, rounds, offsetCalls }: ListBench,
): Promise<MeasuredList> {
  const deepPage = Math.min(deepest, Math.max(1, Math.floor(posts / PAGE_SIZE)));
  const passedOver = (deepPage - 1) * PAGE_SIZE;
  // The place of the last post before the page: what a client has that came there page by page.
  const before = passedOver === 0 ? undefined : pageQuery(filter, order, { skip: passedOver - 1, limit: 1 });
  const after = before && (await store.list(before)).next;
  const firstQuery = pageQuery(filter, order);
  const deepQuery = pageQuery(filter, order, { after });
  // Before anything else has read the deep page: the plan tells what had to come from the disk.
  const plans = {
    deep: await explain(client, postListQuery(deepQuery).compile(db), 2 * (PAGE_SIZE + 1)),
    first: await explain(client, postListQuery(firstQuery).compile(db), 2 * (PAGE_SIZE + 1)),
  };
  const offsetMs: number[] = [];
  let byOffset: PostPage = { posts: [], next: undefined };
  for (let i = 0; i < offsetCalls; i++) {
    const begin = performance.now();
    byOffset = await store.list(pageQuery(filter, order, { skip: passedOver }));
    offsetMs.push(performance.now() - begin);
  }
  assertSamePage(byOffset, await store.list(deepQuery), `${name} by ${formatOrder(order)}`);
  const { first, control, deep } = await measureInterleaved(
    { first: () => store.list(firstQuery), control: () => store.list(firstQuery), deep: () => store.list(deepQuery) },
    { rounds, calls: CALLS },
  );
  return {
    ...{ filter: name, order: formatOrder(order), posts, deepPage, first, control, deep },
    ...{ offsetMs: quartiles(offsetMs), plans },
  };
}

const CALLS = 20;

function assertSamePage(expected: PostPage, actual: PostPage, list: string): void {
  const [one, other] = [expected, actual].map(page => page.posts.map(post => post.id).join());
  if (one !== other || actual.posts.length !== PAGE_SIZE) throw new Error(`${list}: keyset and OFFSET differ`);
}

interface ListBench {
  readonly db: Database;
  readonly client: pg.Client;
  readonly store: PostStore;
  readonly deepest: number;
  readonly rounds: number;
  /** How often the deep page is read by OFFSET, which takes seconds. */
  readonly offsetCalls: number;
}
