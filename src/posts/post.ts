/**
 * Every field of a post, once. Types, SQL columns, the update mask, messages, digests and sizes follow from this table.
 *
 * A new field needs the .proto, a migration of `posts` and `post_changes`, and an entry here. The digest of a request
 * has the authored fields in this order, so a new one goes last among them.
 */
export const POST_FIELDS = {
  /** UUIDv7 in lower case. */
  id: { column: 'id', type: 'uuid', authored: false },
  slug: { column: 'slug', type: 'text', authored: true },
  title: { column: 'title', type: 'text', authored: true },
  /** Markdown; empty where it was not read. */
  content: { column: 'content', type: 'text', authored: true },
  author: { column: 'author', type: 'text', authored: true },
  tags: { column: 'tags', type: 'text[]', authored: true },
  /** Undefined: a draft. */
  publishTime: { column: 'publish_time', type: 'timestamptz', optional: true, authored: true },
  createTime: { column: 'create_time', type: 'timestamptz', optional: false, authored: false },
  /** When it was last written; deleting and undeleting are writes too. */
  updateTime: { column: 'update_time', type: 'timestamptz', optional: false, authored: false },
  deleteTime: { column: 'delete_time', type: 'timestamptz', optional: true, authored: false },
  /** When it will be removed for good. */
  purgeTime: { column: 'purge_time', type: 'timestamptz', optional: true, authored: false },
  /** Changes with each write. Computed from the row's version. */
  etag: { column: undefined, type: 'text', authored: false },
} as const satisfies Readonly<Record<string, PostField>>;

/** A blog post, as the service thinks of it: no row of the database, and no message of the API. */
export type Post = { readonly [Name in keyof PostFields]: ValueOf<PostFields[Name]> };

/** The fields of a post that its authors set. */
export type AuthoredFields = Pick<Post, AuthoredField>;

export type AuthoredField = {
  [Name in keyof PostFields]: PostFields[Name]['authored'] extends true ? Name : never;
}[keyof PostFields];

export type PostFields = typeof POST_FIELDS;

/** The names and entries of POST_FIELDS, in order. */
export const postFields = Object.entries(POST_FIELDS) as readonly (readonly [name: keyof Post, field: PostField])[];

export const authoredFields = postFields.filter(([, { authored }]) => authored) as readonly (readonly [
  name: AuthoredField,
  field: PostField & { readonly column: string },
])[];

interface PostField {
  /** Also the name in the .proto. Undefined: not stored. */
  readonly column: string | undefined;
  /** As Postgres names it. */
  readonly type: 'uuid' | 'text' | 'text[]' | 'timestamptz';
  /** Whether it may be unset. */
  readonly optional?: boolean;
  /** Whether authors set it, and updates may name it. */
  readonly authored: boolean;
}

type ValueOf<Field extends PostField> = Field['type'] extends 'text[]'
  ? readonly string[]
  : Field['type'] extends 'timestamptz'
    ? Field extends { readonly optional: true }
      ? Date | undefined
      : Date
    : string;
