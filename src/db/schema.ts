import type { ColumnType, Generated, GeneratedAlways } from 'kysely';

/** The tables as queries see them. Migrations do not use this: they must go on meaning what they meant. */
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
  /** 1 for a new post, one more with each write. */
  revision: Generated<string>;
  /** Whether `delete_time` is set: leads the list indexes, so that live and deleted posts are two ranges of each. */
  deleted: GeneratedAlways<boolean>;
  /** `publish_time`, or infinity for a draft, so that drafts have a place in the order. */
  publish_order: GeneratedAlways<Timestamp>;
  /** The publish time, once it was noted that it has come; null or another time: it was not. For `post_shelf`. */
  due_time: Timestamp | null;
}

/** One row a tag of a post, with the columns that lists by tag are filtered and ordered by. Kept by triggers on `posts`. */
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

/** One row a `request_id` that created a post, written in the same transaction as the post. */
export interface CreateRequestsTable {
  request_id: string;
  /** SHA-256 of the payload. */
  digest: Buffer;
  post_id: string;
  /** The slug that the post got. */
  slug: string;
  create_time: ColumnType<Date, never, never>;
}

/** One row a change of a post. Written by triggers on `posts`. */
export interface PostChangesTable {
  id: GeneratedAlways<string>;
  /** The transaction that made the change: an xid8, which pg reads as text. */
  xid: Generated<string>;
  at: Generated<Date>;
  kind: 'created' | 'updated' | 'deleted' | 'undeleted' | 'purged';
  post_id: string;
  /** The post as it was then, but for its content. */
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
  /** What it was before; null for a new post. */
  previous_slug: string | null;
  previous_author: string | null;
  previous_tags: string[] | null;
}

/** One row. Written by triggers on `post_changes` and on `posts`. */
export interface PostChangesRemovedTable {
  single_row: Generated<boolean>;
  /** No change of a transaction after this one has been removed for its age. */
  xid: string;
  /** The last one that has truncated the posts, of which no change tells. */
  truncate_xid: string | null;
  /** Tells that truncation from another one that got the same id in another history. */
  truncate_id: string | null;
  /** The last change that was removed for its age. */
  last_xid: string | null;
  last_id: string | null;
  last_post_id: string | null;
  last_at: Date | null;
}

/** One row: the history that the changes belong to. Written by `post_changes_adopt`. */
export interface PostChangesHistoryTable {
  single_row: Generated<boolean>;
  /** Another one after the database was restored from, or merged with, another database. */
  epoch: Generated<string>;
  /** Whether resume tokens without a proof of their history are taken: until the first sign of another history. */
  takes_old_tokens: Generated<boolean>;
  /** Of the cluster that the epoch belongs to; null: nobody has asked yet, or it does not say. */
  system_identifier: string | null;
  database_oid: string | null;
  timeline: string | null;
  /** What `post_changes_life` said when the row was written; null: nobody has asked yet. */
  life: unknown;
  /** Another one for each life. */
  life_id: string | null;
  /** The transaction that has written the row here; another one than the row's own in a copy. */
  written_by: string | null;
}

/** One row some thousands of changes. Written by `post_changes_mark`. */
export interface PostChangesMarksTable {
  /** Of the changes of every later transaction … */
  xid: string;
  /** … the ids are higher than this. */
  id: string;
}

/** Read as a Date; written as one, or as text that Postgres understands. */
type Timestamp = ColumnType<Date, Date | string, Date | string>;
