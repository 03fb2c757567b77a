import { Snapshot } from '#src/db/snapshot.ts';
import type { Post } from '#src/posts/post.ts';
import type { PostPage, StoreCall } from '#src/posts/post-store.ts';

/** An entry of the cache: an answer of the store, when it was read, and at which snapshot. It is immutable. */
export interface CacheEntry<T = EntryValue> {
  /** Undefined: the post does not exist. */
  readonly value: T;
  readonly snapshot: Snapshot;
  /** The feed's era when the read began. Within one era snapshots can be compared. Undefined: it was unknown. */
  readonly era: number | undefined;
  /** On the cache's clock, in milliseconds. */
  readonly readAt: number;
  /** How long it may be used, in milliseconds. */
  readonly ttlMs: number;
  /** The cache tags: a later write of any of them makes the entry useless. */
  readonly dependencies: readonly string[];
}

export type EntryValue = Post | PostPage | undefined;

/** About how many bytes of memory an answer takes, with the kept encodings of its messages. */
export function sizeOfEntry({ value, dependencies }: CacheEntry): number {
  const keys = dependencies.reduce((sum, key) => sum + key.length, 0);
  if (value === undefined) return 300 + keys;
  const posts = 'posts' in value ? value.posts : [value];
  return posts.reduce((sum, post) => sum + 1200 + COPIES * textLength(post), 300 + keys);
}

/** The text of an entry for Redis. */
export function encodeEntry({ value, snapshot, ttlMs, dependencies }: CacheEntry): string {
  return JSON.stringify({ version: VERSION, snapshot: snapshot.text, ttlMs, dependencies, value });
}

/**
 * @param era in which it was written.
 * @param now on the cache's clock.
 * @param leftMs its remaining time. Only Redis knows the age of an entry: clocks of processes differ, and jump.
 * @returns undefined for text that is not an entry, or is of another version of this code.
 */
export function decodeEntry(text: string, era: number, now: number, leftMs: number): CacheEntry | undefined {
  try {
    const { version, snapshot, ttlMs, dependencies, value } = JSON.parse(text, reviveTimes);
    if (version !== VERSION || !Array.isArray(dependencies) || !(ttlMs > 0)) return undefined;
    const readAt = now - Math.max(0, ttlMs - leftMs);
    return { value, snapshot: new Snapshot(snapshot), era, readAt, ttlMs, dependencies };
  } catch {
    return undefined;
  }
}

function textLength({ title, content, slug, author, tags }: Post): number {
  return title.length + content.length + slug.length + author.length + tags.reduce((sum, tag) => sum + tag.length, 0);
}

function reviveTimes(key: string, value: unknown): unknown {
  return key === 'time' || (key.endsWith('Time') && typeof value === 'string') ? new Date(value as string) : value;
}

/** Entries of another version are misses. */
const VERSION = 1;
/** The text at two bytes a character, and its encodings in protobuf and JSON. */
const COPIES = 3;

/** Reads from the store, and adds when, at which snapshot and in which era it was read. @param era when the read begins. */
export async function readWithSnapshot<T>(
  era: number | undefined,
  now: () => number,
  call: StoreCall,
  load: (call: StoreCall) => Promise<T>,
) {
  const readAt = now();
  let snapshot: Snapshot | undefined;
  const value = await load({
    ...call,
    readAt: at => {
      snapshot = at;
    },
  });
  if (snapshot === undefined) throw new Error('the store did not tell the snapshot of its answer');
  return { value, snapshot, readAt, era };
}
