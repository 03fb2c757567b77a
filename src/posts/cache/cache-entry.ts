import { Snapshot } from '#src/db/snapshot.ts';
import type { Post } from '#src/posts/post.ts';
import type { PostPage, StoreCall } from '#src/posts/post-store.ts';

/** What the cache keeps: an answer of the store, and when and of what it was read. It does not change any more. */
export interface CacheEntry<T = EntryValue> {
  /** Undefined: there is no such post. */
  readonly value: T;
  readonly snapshot: Snapshot;
  /** The feed's when the read began: within one era snapshots can be compared. Undefined: it was not known. */
  readonly era: number | undefined;
  /** On the cache's clock, in milliseconds. */
  readonly readAt: number;
  /** How long it may be used, in milliseconds. */
  readonly ttlMs: number;
  /** Whose later writes make it useless. */
  readonly dependencies: readonly string[];
}

export type EntryValue = Post | PostPage | undefined;

/** About how many bytes of memory an answer takes, with the bytes of the messages that are made of it and remembered. */
export function sizeOfEntry({ value, dependencies }: CacheEntry): number {
  const keys = dependencies.reduce((sum, key) => sum + key.length, 0);
  if (value === undefined) return 300 + keys;
  const posts = 'posts' in value ? value.posts : [value];
  return posts.reduce((sum, post) => sum + 1200 + COPIES * textLength(post), 300 + keys);
}

/** For the shared cache. */
export function encodeEntry({ value, snapshot, ttlMs, dependencies }: CacheEntry): string {
  return JSON.stringify({ version: VERSION, snapshot: snapshot.text, ttlMs, dependencies, value });
}

/**
 * @param era that it was put there in.
 * @param now on the cache's clock.
 * @param leftMs of its time. How old an answer is, is told by the shared cache alone: clocks of processes differ, and jump.
 * @returns undefined for what is no answer, or one of another version of this code.
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

/** Of another one than this are misses. */
const VERSION = 1;
/** The text itself, two bytes a character at worst, and its encoding in protobuf and in JSON. */
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
