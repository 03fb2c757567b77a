/** The name of the primary's life (`post_changes_history`). It changes with a restart, a promotion or a restore. */
export const HISTORY_NOTE = 'life_id::text';

/** The history that replicas must follow. */
export interface FollowedHistory {
  /** Counts the lives of the primary; undefined: unknown now. */
  readonly era: number | undefined;
  /** The primary's note; undefined: not known yet. */
  readonly note: string | undefined;
}
