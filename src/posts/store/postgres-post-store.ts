import { type RawBuilder, sql } from 'kysely';
import { type Database, statementsOf } from '#src/db/database.ts';
import type { DatabasePolicy } from '#src/db/database-policy.ts';
import { SerializationError } from '#src/db/errors.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import { Snapshot } from '#src/db/snapshot.ts';
import { type ReadExecutor, readsOf, type SnapshotRow } from '#src/db/snapshot-reads.ts';
import type { AuthoredFields, Post } from '#src/posts/post.ts';
import {
  EtagMismatchError,
  type NewPost,
  PostDeletedError,
  PostNotFoundError,
  type PostPage,
  type PostQuery,
  type PostStore,
  PostsTooLargeError,
  type StoreCall,
  type UpdateOptions,
  type WriteOptions,
} from '#src/posts/post-store.ts';
import type { SlugChoice } from '#src/posts/slug.ts';
import { createPosts } from '#src/posts/store/create-posts.ts';
import { postListQuery } from '#src/posts/store/post-list-query.ts';
import { type FoundRow, POST_STATEMENTS } from '#src/posts/store/post-read-statements.ts';
import { type PostRow, toPost, type WrittenBy } from '#src/posts/store/post-row.ts';
import { distinctSlugs, untilSlugsAreFree } from '#src/posts/store/slug-choices.ts';
import { assignmentsOf, inTransaction, type PostWrite, writePost } from '#src/posts/store/write-post.ts';
import type { ByteBudget } from '#src/resilience/byte-budget.ts';
import { RetryBudget } from '#src/resilience/retry-budget.ts';

/**
 * Posts in Postgres. Each method is one statement where it can be.
 *
 * Writes go through the primary's policy. Reads are guarded by whoever reads: a replica has a policy of its own.
 */
export class PostgresPostStore implements PostStore {
  readonly #db: Database;
  readonly #onCommit: () => void;
  readonly #reads: ReadExecutor;
  readonly #statements: Pick<ConnectionPool, 'run'>;
  readonly #policy: Pick<DatabasePolicy, 'run'>;
  readonly #largeAnswers: Pick<ByteBudget, 'wait'> | undefined;
  readonly #retryBudget = new RetryBudget();

  constructor(db: Database, options: PostgresPostStoreOptions = {}) {
    this.#db = db;
    this.#onCommit = options.onCommit ?? (() => {});
    this.#reads = options.reads ?? readsOf(db);
    this.#statements = options.statements ?? statementsOf(db);
    this.#policy = options.policy ?? { run: (_kind, write) => write() };
    this.#largeAnswers = options.largeAnswers;
  }

  async getById(id: string, call?: StoreCall): Promise<Post | undefined> {
    return toFound(await this.#reads.query<FoundRow>(POST_STATEMENTS.byId, [id], call), call);
  }

  async getBySlug(slug: string, call?: StoreCall): Promise<Post | undefined> {
    // No text of Postgres can hold it, not even one to compare with; and so that a snapshot is told.
    const text = slug.includes('\0') ? '' : slug;
    return toFound(await this.#reads.query<FoundRow>(POST_STATEMENTS.bySlug, [text], call), call);
  }

  getMany(ids: readonly string[], maxContentBytes: number, call?: StoreCall): Promise<Post[]> {
    const read = async (maxBytes: number) => {
      type ManyRow = FoundRow & { readonly fits: boolean | null };
      const rows = await this.#reads.query<ManyRow>(POST_STATEMENTS.many, [ids, maxBytes], call);
      if (rows[0]?.fits === false) throw new PostsTooLargeError(maxBytes);
      tellSnapshot(rows, call);
      return rows.filter(isFound).map(toPost);
    };
    return this.#readWithinBudget(maxContentBytes, call, read, read);
  }

  list(query: PostQuery, call?: StoreCall): Promise<PostPage> {
    const whole = (maxContentBytes: number) => this.#readPage({ ...query, maxContentBytes, isWhole: true }, call);
    return this.#readWithinBudget(query.maxContentBytes, call, whole, () => this.#readPage(query, call));
  }

  create(posts: readonly NewPost[], { validateOnly }: WriteOptions, call?: StoreCall): Promise<Post[]> {
    return this.#write(call, async () => {
      // One post is one statement, which needs no transaction around it.
      const { created, by } = await untilSlugsAreFree(distinctSlugs(posts), untaken =>
        untaken.length === 1 && !validateOnly
          ? createPosts(this.#db, this.#statements, untaken, call)
          : inTransaction(this.#db, validateOnly, db => createPosts(db, statementsOf(db), untaken, call)),
      );
      if (by !== undefined && !validateOnly) this.#committed(by, call);
      return created;
    });
  }

  update(id: string, changes: Partial<AuthoredFields>, options: UpdateOptions, call?: StoreCall): Promise<Post> {
    const { etag, validateOnly, slugIfTaken = [] } = options;
    const { slug, ...others } = changes;
    const update = (choice?: SlugChoice) => {
      const write = { id, etag, expected: 'live', assignments: assignmentsOf(id, others, choice) } as const;
      const run = (db: Database) => writePost(db, write, call);
      return validateOnly ? inTransaction(this.#db, true, run) : run(this.#db);
    };
    return this.#write(call, async () => {
      if (Object.keys(changes).length === 0) return this.#getVersion(id, etag, call);
      const { post, by } = await (slug === undefined
        ? update()
        : untilSlugsAreFree([{ slug, slugIfTaken }], ([choice]) => update(choice)));
      if (!validateOnly) this.#committed(by, call);
      return post;
    });
  }

  delete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    const assignments = [sql`delete_time = now()`, sql`purge_time = now() + interval '30 days'`];
    return this.#writePost({ id, etag, expected: 'live', assignments }, call);
  }

  undelete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    const assignments = [sql`delete_time = null`, sql`purge_time = null`];
    return this.#writePost({ id, etag, expected: 'deleted', assignments }, call);
  }

  #writePost(write: PostWrite, call: StoreCall | undefined): Promise<Post> {
    return this.#write(call, async () => {
      const { post, by } = await writePost(this.#db, write, call);
      this.#committed(by, call);
      return post;
    });
  }

  /** Runs a write as the policy lets it through. Repeats it where Postgres rolled it back for another transaction. */
  async #write<T>(call: StoreCall | undefined, write: () => Promise<T>): Promise<T> {
    this.#retryBudget.called();
    const { signal, deadline, criticality } = call ?? {};
    for (let attempt = 1; ; attempt++) {
      try {
        // A write may wait for another one's lock, which says nothing of the database's health.
        return await this.#policy.run('write', write, { signal, deadline, criticality, mayBeSlow: true });
      } catch (error) {
        const mayRepeat = error instanceof SerializationError && attempt < ATTEMPTS && !signal?.aborted;
        if (!mayRepeat || !this.#retryBudget.mayRetry()) throw error;
      }
    }
  }

  #committed({ xid, timeline }: WrittenBy, call: StoreCall | undefined): void {
    call?.committed?.(BigInt(xid), Number(timeline ?? 0));
    this.#onCommit();
  }

  /** Reads posts with little content at once; takes memory of the budget before it reads more. */
  async #readWithinBudget<T>(
    maxContentBytes: number,
    call: StoreCall | undefined,
    readLittle: (maxBytes: number) => Promise<T>,
    readMuch: (maxBytes: number) => Promise<T>,
  ): Promise<T> {
    if (this.#largeAnswers === undefined || maxContentBytes <= LITTLE_CONTENT_BYTES) return readMuch(maxContentBytes);
    try {
      return await readLittle(LITTLE_CONTENT_BYTES);
    } catch (error) {
      if (!(error instanceof PostsTooLargeError)) throw error;
    }
    const held = await this.#largeAnswers.wait(maxContentBytes * MEMORY_PER_BYTE, call);
    try {
      return await readMuch(maxContentBytes);
    } finally {
      held.giveBack();
    }
  }

  async #readPage(query: PostQuery, call: StoreCall | undefined): Promise<PostPage> {
    const rows = await this.#readRows(postListQuery(query), call);
    if (rows[0]?.fits === false) throw new PostsTooLargeError(query.maxContentBytes);
    const posts = rows.slice(0, query.limit).map(toPost);
    const last = posts.at(-1);
    const isLastPage = last === undefined || Number(rows[0]?.found) <= posts.length;
    return { posts, next: isLastPage ? undefined : { time: last[query.order.by], id: last.id } };
  }

  /** The query's rows, and the snapshot that they are of. */
  async #readRows<Row extends object>(query: RawBuilder<Row>, call: StoreCall | undefined): Promise<Row[]> {
    // A row of its own, since the query may have none.
    const { sql: text, parameters } = sql`
      select s.taken, q.* from (select pg_current_snapshot()::text as taken) s
      left join (select row_number() over () as answer_position, true as answer_present, * from (${query}) rows) q on true
      order by q.answer_position`.compile(this.#db);
    const rows = await this.#reads.query<Row & SnapshotRow & { answer_present: true | null }>(
      { text },
      parameters,
      call,
    );
    tellSnapshot(rows, call);
    return rows.filter(row => row.answer_present !== null);
  }

  /** The live post, if it has the etag that is asked for. */
  async #getVersion(id: string, etag: string | undefined, call: StoreCall | undefined): Promise<Post> {
    const post = await this.getById(id, { signal: call?.signal, criticality: call?.criticality, fresh: true });
    if (post === undefined) throw new PostNotFoundError([id]);
    if (post.deleteTime !== undefined) throw new PostDeletedError(id);
    if (etag !== undefined && etag !== post.etag) throw new EtagMismatchError(id, post.etag);
    return post;
  }
}

/** What a store works with beside its database. Defaults are for tests: the database's own pool, without limits. */
export interface PostgresPostStoreOptions {
  /** Called after each committed write. */
  readonly onCommit?: () => void;
  /** Runs the reads. */
  readonly reads?: ReadExecutor;
  /** Runs frequent writes, past the query builder. */
  readonly statements?: Pick<ConnectionPool, 'run'>;
  /** Guards the writes. */
  readonly policy?: Pick<DatabasePolicy, 'run'>;
  /** Bounds the memory of reads with much content. */
  readonly largeAnswers?: Pick<ByteBudget, 'wait'>;
}

function toFound(rows: readonly FoundRow[], call: StoreCall | undefined): Post | undefined {
  tellSnapshot(rows, call);
  const [row] = rows;
  return row !== undefined && isFound(row) ? toPost(row) : undefined;
}

function isFound<Row extends FoundRow>(row: Row): row is Row & PostRow {
  return row.id !== null;
}

function tellSnapshot(rows: readonly SnapshotRow[], call: StoreCall | undefined): void {
  call?.readAt?.(new Snapshot(rows[0]?.taken ?? ''));
}

const ATTEMPTS = 3;
/** Pages of a hundred ordinary posts have less. */
const LITTLE_CONTENT_BYTES = 512 * 1024;
/** A row's bytes exist up to six times while it is read: as received, in buffers that double, and as text. */
const MEMORY_PER_BYTE = 6;
