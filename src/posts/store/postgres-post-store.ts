import { type Expression, type RawBuilder, sql } from 'kysely';
import pg from 'pg';
import { type Database, statementsOf } from '#src/db/database.ts';
import { WriteConflictError } from '#src/db/errors.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import { Snapshot } from '#src/db/snapshot.ts';
import { type ReadExecutor, readsOf, type SnapshotRow } from '#src/db/snapshot-reads.ts';
import type { SlugChoice } from '#src/posts/derived-slug.ts';
import type { Post, PostFields } from '#src/posts/post.ts';
import {
  EtagMismatchError,
  type NewPost,
  PostDeletedError,
  PostNotDeletedError,
  PostNotFoundError,
  type PostPage,
  type PostQuery,
  type PostStore,
  PostsTooLargeError,
  RequestIdReusedError,
  SlugTakenError,
  type StoreCall,
  type UpdateOptions,
  type WriteOptions,
} from '#src/posts/post-store.ts';
import {
  CREATE_POST,
  type CreatedPost,
  createPostParameters,
  createPostsQuery,
  slugOf,
  toCreatedPost,
} from '#src/posts/store/post-create-query.ts';
import { postListQuery } from '#src/posts/store/post-list-query.ts';
import { type FoundRow, POST_STATEMENTS } from '#src/posts/store/post-read-statements.ts';
import { formatEtag, type PostRow, parseEtag, postColumns, toPost } from '#src/posts/store/post-row.ts';
import { distinctSlugs, untilSlugsAreFree } from '#src/posts/store/slug-choices.ts';
import { WRITTEN_BY, type WrittenBy } from '#src/posts/written-by.ts';

/** Posts in Postgres: SQL, and nothing else. Each method is one statement where it can be. */
export class PostgresPostStore implements PostStore {
  readonly #db: Database;
  readonly #onCommit: () => void;
  readonly #reads: ReadExecutor;
  readonly #statements: Pick<ConnectionPool, 'run'>;

  /**
   * @param onCommit told of each write when it was committed.
   * @param reads what it reads with; it writes over `db`.
   * @param statements of the pool of `db`: what is run often goes past the query builder.
   */
  constructor(
    db: Database,
    onCommit: () => void = () => {},
    reads: ReadExecutor = readsOf(db),
    statements: Pick<ConnectionPool, 'run'> = statementsOf(db),
  ) {
    this.#db = db;
    this.#onCommit = onCommit;
    this.#reads = reads;
    this.#statements = statements;
  }

  async getById(id: string, call?: StoreCall): Promise<Post | undefined> {
    return toFound(await this.#reads.query<FoundRow>(POST_STATEMENTS.byId, [id], call), call);
  }

  async getBySlug(slug: string, call?: StoreCall): Promise<Post | undefined> {
    // No text of Postgres can hold it, not even one to compare with; and so that a snapshot is told.
    const text = slug.includes('\0') ? '' : slug;
    return toFound(await this.#reads.query<FoundRow>(POST_STATEMENTS.bySlug, [text], call), call);
  }

  async getMany(ids: readonly string[], maxContentBytes: number, call?: StoreCall): Promise<Post[]> {
    type ManyRow = FoundRow & { readonly fits: boolean | null };
    const rows = await this.#reads.query<ManyRow>(POST_STATEMENTS.many, [ids, maxContentBytes], call);
    if (rows[0]?.fits === false) throw new PostsTooLargeError(maxContentBytes);
    tellSnapshot(rows, call);
    return rows.filter(isFound).map(toPost);
  }

  async list(query: PostQuery, call?: StoreCall): Promise<PostPage> {
    const rows = await this.#list(postListQuery(query), call);
    if (rows[0]?.fits === false) throw new PostsTooLargeError(query.maxContentBytes);
    const posts = rows.slice(0, query.limit).map(toPost);
    const last = posts.at(-1);
    const isLastPage = last === undefined || Number(rows[0]?.found) <= posts.length;
    return { posts, next: isLastPage ? undefined : { time: last[query.order.by], id: last.id } };
  }

  async create(posts: readonly NewPost[], options: WriteOptions, call?: StoreCall): Promise<Post[]> {
    // One post is one statement, which needs no transaction around it.
    const { created, by } = await untilSlugsAreFree(distinctSlugs(posts), untaken =>
      untaken.length === 1 && !options.validateOnly
        ? this.#create(this.#db, this.#statements, untaken, call)
        : this.#inTransaction(options, db => this.#create(db, statementsOf(db), untaken, call)),
    );
    if (by !== undefined && !options.validateOnly) this.#committed(by, call);
    return created;
  }

  async update(id: string, changes: Partial<PostFields>, options: UpdateOptions, call?: StoreCall): Promise<Post> {
    if (Object.keys(changes).length === 0) return this.#getVersion(id, options.etag, call);
    const { publishTime, tags, slug, ...texts } = changes;
    const assignments = Object.entries(texts).map(([name, value]) => sql`${sql.ref(name)} = ${value}`);
    if ('tags' in changes) assignments.push(sql`tags = ${tags}::text[]`);
    if ('publishTime' in changes) {
      assignments.push(sql`publish_time = ${publishTime?.toISOString() ?? null}::timestamptz`);
    }
    const write = (choice?: SlugChoice) => {
      const all = choice === undefined ? assignments : [...assignments, setSlug(id, choice)];
      const update = (db: Database) => this.#write(db, id, options.etag, 'live', all, call);
      return options.validateOnly ? this.#inTransaction(options, update) : update(this.#db);
    };
    const { slugIfTaken = [] } = options;
    const writing =
      slug === undefined ? write() : untilSlugsAreFree([{ slug, slugIfTaken }], ([choice]) => write(choice));
    return options.validateOnly ? (await writing).post : this.#writeAndTell(writing, call);
  }

  async delete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    const assignments = [sql`delete_time = now()`, sql`purge_time = now() + interval '30 days'`];
    return this.#writeAndTell(this.#write(this.#db, id, etag, 'live', assignments, call), call);
  }

  async undelete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    const assignments = [sql`delete_time = null`, sql`purge_time = null`];
    return this.#writeAndTell(this.#write(this.#db, id, etag, 'deleted', assignments, call), call);
  }

  async #writeAndTell(write: Promise<WrittenPost>, call: StoreCall | undefined): Promise<Post> {
    const { post, by } = await write;
    this.#committed(by, call);
    return post;
  }

  #committed({ xid, timeline }: WrittenBy, call: StoreCall | undefined): void {
    call?.committed?.(BigInt(xid), Number(timeline ?? 0));
    this.#onCommit();
  }

  /** The query's rows; with it, where the call asks for it, the snapshot that they are of. */
  async #list<Row extends object>(query: RawBuilder<Row>, call: StoreCall | undefined): Promise<Row[]> {
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

  async #create(
    db: Database,
    statements: Pick<ConnectionPool, 'run'>,
    posts: readonly NewPost[],
    call: StoreCall | undefined,
  ): Promise<{ readonly created: Post[]; readonly by: WrittenBy | undefined }> {
    const [first, ...others] = posts;
    if (first !== undefined && others.length === 0 && first.request === undefined) {
      const parameters = createPostParameters(first);
      const [row] = await statements.run<CreatedPost & WrittenBy>(CREATE_POST, parameters, call?.signal);
      if (row === undefined) throw new SlugTakenError(first.slug);
      return { created: [toCreatedPost(first, row)], by: row };
    }
    const { sql: text, parameters } = createPostsQuery(posts).compile(db);
    const rows = await statements
      .run<CreatedPost & WrittenBy>({ name: 'create-posts', text }, parameters, call?.signal)
      .catch(translateConstraint);
    const results = new Map<string, CreatedPost>(rows.map(row => [row.id, row]));
    const repeated = posts.filter(post => !results.has(post.id));
    if (repeated.length > 0) {
      for (const [id, first] of await this.#firstResults(db, repeated, call)) results.set(id, first);
    }
    const created = posts.map(post => {
      const result = results.get(post.id);
      // Between two statements the request id can only have been removed for its age.
      if (result === undefined) throw new WriteConflictError('a request id expired while its call was repeated');
      return toCreatedPost(post, result);
    });
    return { created, by: rows[0] };
  }

  /** What the posts' request ids created before, by the ids that the posts would have now. */
  async #firstResults(
    db: Database,
    posts: readonly NewPost[],
    call: StoreCall | undefined,
  ): Promise<Map<string, CreatedPost>> {
    const byRequest = new Map(posts.map(post => [post.request?.id ?? '', post]));
    const rows = await db
      .selectFrom('create_requests')
      .select(['request_id', 'digest', 'post_id as id', 'slug', 'create_time'])
      .where('request_id', 'in', [...byRequest.keys()])
      .execute({ signal: call?.signal });
    const results = new Map<string, CreatedPost>();
    for (const row of rows) {
      const post = byRequest.get(row.request_id);
      if (post?.request === undefined) continue;
      if (!row.digest.equals(post.request.digest)) throw new RequestIdReusedError(row.request_id);
      results.set(post.id, row);
    }
    return results;
  }

  /** Writes a post in one statement, provided that it is live or deleted as wanted, and has the etag where one is given. */
  async #write(
    db: Database,
    id: string,
    etag: string | undefined,
    wanted: 'live' | 'deleted',
    assignments: readonly Expression<unknown>[],
    call: StoreCall | undefined,
  ): Promise<WrittenPost> {
    const version = etag === undefined ? undefined : parseEtag(etag);
    const conditions = [sql`p.id = ${id}::uuid`, wanted === 'live' ? sql`not p.deleted` : sql`p.deleted`];
    if (version !== undefined) {
      const updateTime = version.updateTime.toISOString();
      conditions.push(sql`p.revision = ${version.revision} and p.update_time = ${updateTime}::timestamptz`);
    }
    if (etag === undefined || version !== undefined) {
      const { rows } = await sql<PostRow & WrittenBy>`
        update posts p
        set ${sql.join(assignments)}, revision = p.revision + 1, update_time = greatest(now(), p.update_time)
        where ${sql.join(conditions, sql` and `)}
        returning ${postColumns('p', true)}, ${WRITTEN_BY}`
        .execute(db, { signal: call?.signal })
        .catch(translateConstraint);
      if (rows[0] !== undefined) return { post: toPost(rows[0]), by: rows[0] };
    }
    throw await this.#explainMiss(db, id, etag, wanted, call);
  }

  /** Why no post was written. */
  async #explainMiss(
    db: Database,
    id: string,
    etag: string | undefined,
    wanted: 'live' | 'deleted',
    call: StoreCall | undefined,
  ): Promise<Error> {
    const row = await db
      .selectFrom('posts')
      .select(['deleted', 'revision', 'update_time as updateTime'])
      .where('id', '=', id)
      .executeTakeFirst({ signal: call?.signal });
    if (row === undefined) return new PostNotFoundError([id]);
    if (wanted === 'live' && row.deleted) return new PostDeletedError(id);
    if (wanted === 'deleted' && !row.deleted) return new PostNotDeletedError(id);
    const current = formatEtag(row);
    if (etag !== undefined && etag !== current) return new EtagMismatchError(id, current);
    return new WriteConflictError('the post was deleted, or undeleted, while it was written');
  }

  /** The live post, if it has the etag that is asked for. */
  async #getVersion(id: string, etag: string | undefined, call: StoreCall | undefined): Promise<Post> {
    const post = await this.getById(id, { signal: call?.signal, criticality: call?.criticality, fresh: true });
    if (post === undefined) throw new PostNotFoundError([id]);
    if (post.deleteTime !== undefined) throw new PostDeletedError(id);
    if (etag !== undefined && etag !== post.etag) throw new EtagMismatchError(id, post.etag);
    return post;
  }

  /** Runs the work in a transaction, which is rolled back where it is only to be tried. */
  async #inTransaction<T>(options: WriteOptions, work: (db: Database) => Promise<T>): Promise<T> {
    let result: { readonly value: T } | undefined;
    const tried = new Error('tried, and rolled back');
    try {
      await this.#db.transaction().execute(async transaction => {
        result = { value: await work(transaction) };
        if (options.validateOnly) throw tried;
      });
    } catch (error) {
      if (error !== tried) throw error;
    }
    if (result === undefined) throw new Error('the transaction gave no result');
    return result.value;
  }
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

/** A post, and the transaction that wrote it. */
interface WrittenPost {
  readonly post: Post;
  readonly by: WrittenBy;
}

function setSlug(id: string, { slug, slugIfTaken }: SlugChoice): Expression<unknown> {
  if (slugIfTaken.length === 0) return sql`slug = ${slug}`;
  return sql`slug = ${slugOf(sql`${[slug, ...slugIfTaken]}::text[]`, sql`o.id <> ${id}::uuid`)}`;
}

function translateConstraint(error: unknown): never {
  if (error instanceof pg.DatabaseError && error.constraint === 'posts_live_slug') {
    // "Key (slug)=(hello-world) already exists.", of which the part in brackets is the same in every language.
    throw new SlugTakenError(/\(slug\)=\((.*)\)/.exec(error.detail ?? '')?.[1] ?? '');
  }
  throw error;
}
