import type { Snapshot } from '#src/db/snapshot.ts';
import type { StoreCall } from '#src/posts/post-store.ts';

/** What a store answers, and when and at which snapshot of the database it was read. */
export async function readStore<T>(
  call: StoreCall,
  load: (call: StoreCall) => Promise<T>,
  now: () => number,
): Promise<{ readonly value: T; readonly snapshot: Snapshot; readonly readAt: number }> {
  const readAt = now();
  let snapshot: Snapshot | undefined;
  const value = await load({
    ...call,
    readAt: at => {
      snapshot = at;
    },
  });
  if (snapshot === undefined) throw new Error('the store did not tell the snapshot of its answer');
  return { value, snapshot, readAt };
}
