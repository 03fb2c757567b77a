import type { RunStatement } from '#src/posts/feed/feed-head.ts';
import type { PostChange } from '#src/posts/feed/post-change.ts';
import { placeBehind } from '#src/posts/feed/post-change-position.ts';
import { readPlaceBefore, readPostChanges } from '#src/posts/feed/post-change-query.ts';
import { RECENT_CHANGES, type RecentChanges } from '#src/posts/feed/recent-changes.ts';

/**
 * Reads the changes before those that `recent` has, for watchers that resume after a start of this process.
 *
 * @throws where the feed was not read yet; what `readPostChanges` does.
 */
export async function readBefore(run: RunStatement, recent: RecentChanges): Promise<void> {
  const { start, size } = recent;
  if (start === undefined) throw new Error('the change feed has not been read yet');
  if (size > RECENT_CHANGES / 2) return;
  const first = await readPlaceBefore(run, start, RECENT_CHANGES / 2);
  const changes: PostChange[] = [];
  let position = first;
  for (let complete = false; !complete; ) {
    const batch = await readPostChanges(run, position);
    changes.push(...batch.changes);
    position = placeBehind(batch, position);
    complete = batch.complete;
  }
  // Meanwhile it may have begun anew, or dropped its oldest changes.
  if (recent.start === start) recent.addBefore({ from: first.from }, changes);
}
