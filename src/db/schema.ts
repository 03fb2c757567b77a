import type { ColumnType, Generated, GeneratedAlways } from 'kysely';

/** The tables for queries. Migrations do not use it, because their meaning must not change. */
export interface Schema {
  posts: PostsTable;
  post_tags: PostTagsTable;
  create_requests: CreateRequestsTable;
  post_changes: PostChangesTable;
  post_changes_removed: PostChangesRemovedTable;
  post_changes_history: PostChangesHistoryTable;
  post_changes_marks: PostChangesMarksTable;
}

/** One row a post, soft-deleted ones included. Times have millisecond precision. */
export interface PostsTable {
  id: string;
  slug: string;
  title: string;
  content: string;
  author: string;
  tags: string[];
  publish_time: Timestamp | null;
  create_time: Timestamp;
  update_time: Timestamp;
  delete_time: Timestamp | null;
  purge_time: Timestamp | null;
  /** 1 for a new post, plus one with each write. */
  revision: Generated<string>;
  /** Whether `delete_time` is set. It is the first column of list indexes, so live and deleted posts are separate ranges. */
  deleted: GeneratedAlways<boolean>;
  /** `publish_time`, or infinity for a draft, so that drafts have a position in the order. */
  publish_order: GeneratedAlways<Timestamp>;
  /** The publish time, once the post was noted as due. Null or another time: it was not. For `post_shelf`. */
  due_time: Timestamp | null;
}

/** One row for each tag of a post, with the columns that lists by tag filter and order by. Triggers on `posts` write it. */
export interface PostTagsTable {
  tag: string;
  author: string;
  deleted: boolean;
  create_time: Timestamp;
  update_time: Timestamp;
  publish_order: Timestamp;
  due_time: Timestamp | null;
  post_id: string;
}

/** One row for each `request_id` that created a post, written in the same transaction. */
export interface CreateRequestsTable {
  request_id: string;
  /** SHA-256 of the payload. */
  digest: Buffer;
  post_id: string;
  /** The slug of the created post. */
  slug: string;
  create_time: ColumnType<Date, never, never>;
}

/** One row for each change of a post. Triggers on `posts` write it. */
export interface PostChangesTable {
  id: GeneratedAlways<string>;
  /** The transaction of the change: an xid8, which pg reads as text. */
  xid: Generated<string>;
  at: Generated<Date>;
  kind: 'created' | 'updated' | 'deleted' | 'undeleted' | 'purged';
  post_id: string;
  /** The post as it was then, without its content. */
  slug: string;
  title: string;
  author: string;
  tags: string[];
  publish_time: Date | null;
  create_time: Date;
  update_time: Date;
  delete_time: Date | null;
  purge_time: Date | null;
  revision: string;
  /** The post before the change; null for a new post. */
  previous_slug: string | null;
  previous_author: string | null;
  previous_tags: string[] | null;
}

/** One row. Triggers on `post_changes` and `posts` write it. */
export interface PostChangesRemovedTable {
  single_row: Generated<boolean>;
  /** No change of a transaction after this one has been removed for its age. */
  xid: string;
  /** The last transaction that truncated the posts, which no change records. */
  truncate_xid: string | null;
  /** Distinguishes that truncation from one with the same id in another history. */
  truncate_id: string | null;
  /** The last change that was removed for its age. */
  last_xid: string | null;
  last_id: string | null;
  last_post_id: string | null;
  last_at: Date | null;
}

/** One row: the history of the changes. `post_changes_adopt` writes it. */
export interface PostChangesHistoryTable {
  single_row: Generated<boolean>;
  /** Changes when the database was restored from, or merged with, another database. */
  epoch: Generated<string>;
  /** Whether resume tokens without a proof of their history are accepted: until the first sign of another history. */
  takes_old_tokens: Generated<boolean>;
  /** The cluster of the epoch; null: not asked yet, or not reported. */
  system_identifier: string | null;
  database_oid: string | null;
  timeline: string | null;
  /** The result of `post_changes_life` when the row was written; null: not asked yet. */
  life: unknown;
  /** Changes with each life. */
  life_id: string | null;
  /** The transaction that wrote the row here. In a copy it differs from the row's own. */
  written_by: string | null;
}

/** One row for some thousands of changes. `post_changes_mark` writes it. */
export interface PostChangesMarksTable {
  /** Of the changes of every later transaction … */
  xid: string;
  /** … the ids are higher than this. */
  id: string;
}

/** Read as a Date. Written as a Date, or as text that Postgres understands. */
type Timestamp = ColumnType<Date, Date | string, Date | string>;
