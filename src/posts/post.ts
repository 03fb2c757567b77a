/** A blog post, as the service thinks of it: no row of the database, and no message of the API. */
export interface Post extends PostFields {
  /** UUIDv7 in lower case. */
  readonly id: string;
  readonly createTime: Date;
  /** When it was last written, which deleting and undeleting are too. */
  readonly updateTime: Date;
  readonly deleteTime: Date | undefined;
  /** When it will be removed for good. */
  readonly purgeTime: Date | undefined;
  /** Changes with each write. */
  readonly etag: string;
}

/** The fields of a post that its authors set. */
export interface PostFields {
  readonly slug: string;
  readonly title: string;
  /** Markdown; empty where it was not read. */
  readonly content: string;
  readonly author: string;
  readonly tags: readonly string[];
  /** Undefined: a draft. */
  readonly publishTime: Date | undefined;
}
