import { v7 as uuidv7 } from 'uuid';
import type { NewPost, PostStore } from '#src/posts/post-store.ts';
import { type Quartiles, quartiles } from './quartiles.ts';

/** What writes cost beside a million posts, in milliseconds. */
export interface MeasuredWrites {
  readonly create: Quartiles;
  readonly createBatchOf100: Quartiles;
  readonly update: Quartiles;
  readonly delete: Quartiles;
}

/**
 * Creates, updates and deletes posts through the store, one call after the other.
 *
 * @param created takes the ids of the posts that it has created.
 */
export async function measureWrites(
  store: PostStore,
  model: Pick<NewPost, 'title' | 'content' | 'author' | 'tags'>,
  created: string[],
): Promise<MeasuredWrites> {
  const newPost = (): NewPost => {
    const id = uuidv7();
    created.push(id);
    return { ...model, id, slug: id, slugIfTaken: [], publishTime: new Date(), request: undefined };
  };
  const options = { validateOnly: false, etag: undefined };
  await store.create([newPost()], options);
  const create = await timed(200, () => store.create([newPost()], options));
  const createBatchOf100 = await timed(20, () => store.create(Array.from({ length: 100 }, newPost), options));
  const ids = created.values();
  const update = await timed(200, () => store.update(ids.next().value ?? '', { title: 'Changed' }, options));
  const deleted = await timed(200, () => store.delete(ids.next().value ?? '', undefined));
  return { create, createBatchOf100, update, delete: deleted };
}

async function timed(calls: number, call: () => Promise<unknown>): Promise<Quartiles> {
  const took: number[] = [];
  for (let i = 0; i < calls; i++) {
    const begin = performance.now();
    await call();
    took.push(performance.now() - begin);
  }
  return quartiles(took);
}
