import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { Snapshot } from '#src/db/snapshot.ts';
import type { DatabaseLife } from '#src/posts/feed/feed-head.ts';
import type { ChangeListener, PostChange } from '#src/posts/feed/post-change.ts';
import type { Post } from '#src/posts/post.ts';
import type { PostStore, StoreCall } from '#src/posts/post-store.ts';

/**
 * As much of Postgres as caches can tell: transactions that end in another order than they began, snapshots, a change feed, crashes. Each
 * thing that takes time on the way waits for a point that a scheduler chooses, so that every interleaving can be tried.
 */
export class SimulatedDatabase {
  readonly #point: (label: string) => Promise<void>;
  readonly #running = new Set<bigint>();
  readonly #versions: Version[] = [];
  #next = 100n;
  #lastXid = 99n;
  /** Counts its crashes. */
  life = 1;
  isFailing = false;

  constructor(point: (label: string) => Promise<void>) {
    this.#point = point;
  }

  /** Writes a post; resolves with the transaction when it is committed, of which the writer is to be told yet. */
  async write(id: string, slug: string): Promise<Version> {
    const { life } = this;
    const xid = this.#next++;
    this.#running.add(xid);
    await this.#point('commit');
    if (this.life !== life) throw new DatabaseUnavailableError('simulated');
    this.#running.delete(xid);
    if (xid > this.#lastXid) this.#lastXid = xid;
    const number = this.#versionsOf(id).length;
    const version = { id, slug, number, xid, previous: this.#versionsOf(id).at(-1) };
    this.#versions.push(version);
    return version;
  }

  /** Uses up ids, as transactions do that fail. */
  burn(count: bigint): void {
    this.#next += count;
  }

  /** What was committed stays; ids that were given out after that are given out again. */
  crash(): void {
    this.life++;
    this.#running.clear();
    this.#next = this.#lastXid + 1n;
  }

  /** Of what was committed. */
  get lastXid(): bigint {
    return this.#lastXid;
  }

  get snapshot(): Snapshot {
    const running = [...this.#running].sort((a, b) => (a < b ? -1 : 1));
    return new Snapshot(`${running[0] ?? this.#next}:${this.#next}:${running.join(',')}`);
  }

  /** What was committed between the two. */
  between(from: Snapshot, to: Snapshot): Version[] {
    return this.#versions.filter(({ xid }) => to.sees(xid) && !from.sees(xid));
  }

  /** Whether a version of this post from this number on, that is committed, meets the condition. */
  hasSince(id: string, number: number, meets: (version: Version) => boolean): boolean {
    return this.#versionsOf(id).some(version => version.number >= number && meets(version));
  }

  /** A store whose updates move the post to the slug that they name; its other writes are not to be used. */
  get store(): PostStore {
    const read = async <T>(call: StoreCall | undefined, find: (posts: Post[]) => T): Promise<T> => {
      await this.#point('read');
      if (this.isFailing) throw new DatabaseUnavailableError('simulated');
      const snapshot = this.snapshot;
      const found = find(this.#postsAt(snapshot));
      await this.#point('answer');
      call?.signal?.throwIfAborted();
      call?.readAt?.(snapshot);
      return found;
    };
    const store: Pick<PostStore, 'getById' | 'getBySlug' | 'getMany' | 'list' | 'update'> = {
      getById: (id, call) => read(call, posts => posts.find(post => post.id === id)),
      getBySlug: (slug, call) => read(call, posts => posts.find(post => post.slug === slug)),
      getMany: (ids, _maxContentBytes, call) => read(call, posts => posts.filter(post => ids.includes(post.id))),
      list: (_query, call) => read(call, posts => ({ posts, next: undefined })),
      update: async (id, { slug }, _options, call) => {
        const version = await this.write(id, slug ?? '');
        await this.#point('acknowledge');
        call?.committed?.(version.xid, 1);
        return toPost(version);
      },
    };
    return store as PostStore;
  }

  #versionsOf(id: string): Version[] {
    return this.#versions.filter(version => version.id === id);
  }

  #postsAt(snapshot: Snapshot): Post[] {
    const latest = new Map<string, Version>();
    for (const version of this.#versions) if (snapshot.sees(version.xid)) latest.set(version.id, version);
    return [...latest.values()].map(toPost);
  }
}

/** A change feed of it, which tells when it is told to. */
export class SimulatedFeed {
  readonly lagMs = 0;
  readonly #listeners = new Set<ChangeListener>();
  readonly #database: SimulatedDatabase;
  readonly #point: (label: string) => Promise<void>;
  #turn: Promise<void> = Promise.resolve();
  /** The last one that it has met, and the last one that it has told of up to then. */
  #life: number;
  #heard: number;
  snapshot: Snapshot;
  /** The latest version of each post that listeners were told of. */
  readonly told = new Map<string, number>();

  constructor(database: SimulatedDatabase, point: (label: string) => Promise<void>) {
    this.#database = database;
    this.#point = point;
    this.#life = database.life;
    this.#heard = database.life;
    this.snapshot = database.snapshot.upTo(database.lastXid);
  }

  get era(): number | undefined {
    return this.#heard === this.#database.life ? this.#heard : undefined;
  }

  get lastEra(): number {
    return this.#life;
  }

  get life(): DatabaseLife {
    return { name: `life ${this.#life}`, isWhole: true, timeline: 1 };
  }

  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads what is new, and tells it; or that it was missed. One at a time. */
  poll(isGap: boolean): Promise<void> {
    this.#turn = this.#turn.then(async () => {
      await this.#point('feed reads');
      const from = this.snapshot;
      const { life } = this.#database;
      const to = this.#database.snapshot.upTo(this.#database.lastXid);
      const versions = this.#database.between(from, to);
      await this.#point('feed tells');
      // Its connection was lost meanwhile.
      if (life !== this.#database.life) return;
      this.#life = life;
      this.snapshot = to;
      for (const listener of this.#listeners) {
        if (isGap) listener.onGap(to);
        else {
          const changes = versions.map(toChange);
          listener.onBatch({ from, afterId: 0n, endId: 0n, to, proof: NO_PROOF, life: '', complete: true, changes });
        }
      }
      this.#heard = life;
      for (const { id, number } of versions) this.told.set(id, number);
    });
    return this.#turn;
  }
}

/** Caches look at none. */
const NO_PROOF = { id: 0n, digest: '', recent: [] };

export interface Version {
  readonly id: string;
  readonly slug: string;
  readonly number: number;
  readonly xid: bigint;
  readonly previous: Version | undefined;
}

/** The number of the version that a post is. */
export function versionOf(post: Post): number {
  return Number(post.etag);
}

function toPost({ id, slug, number }: Version): Post {
  const time = new Date(number);
  return {
    ...{ id, slug, title: '', content: '', author: 'Ada', tags: [], publishTime: undefined },
    ...{ createTime: time, updateTime: time, deleteTime: undefined, purgeTime: undefined, etag: String(number) },
  };
}

function toChange(version: Version): PostChange {
  const { xid, previous } = version;
  return {
    ...{ id: xid, xid, kind: 'updated', time: new Date(0), digest: '', post: toPost(version) },
    previous: previous && toPost(previous),
  };
}
