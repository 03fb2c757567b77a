import type { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { PostChange } from '#src/posts/feed/post-change.ts';

/** What a change feed has told, for tests to look at and wait for. */
export class FeedLedger {
  readonly changes: PostChange[] = [];
  gaps = 0;
  readonly #waiting = new Set<() => void>();

  constructor(feed: ChangeFeed) {
    feed.listen({
      onBatch: ({ changes }) => {
        this.changes.push(...changes);
        for (const look of this.#waiting) look();
      },
      onGap: () => {
        this.gaps++;
        for (const look of this.#waiting) look();
      },
    });
  }

  /** Resolves when what was told meets the condition. */
  until(met: (ledger: FeedLedger) => boolean): Promise<void> {
    return new Promise(resolve => {
      const look = () => {
        if (!met(this)) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** The kinds of one post's changes. */
  kindsOf(id: string): string[] {
    return this.changes.filter(({ post }) => post.id === id).map(({ kind }) => kind);
  }
}

/** Resolves when the feed has connected, and tells what comes from here on. */
export async function untilConnected(feed: ChangeFeed): Promise<void> {
  while (feed.snapshot === undefined) await new Promise(resolve => setImmediate(resolve));
}
