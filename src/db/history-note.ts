/** The name that the primary has given to its life (`post_changes_history`): another one after a restart, a promotion or a restore. */
export const HISTORY_NOTE = 'life_id::text';

/** The history that replicas have to follow. */
export interface FollowedHistory {
  /** Counts the lives of the primary; undefined: nothing is known of it now. */
  readonly era: number | undefined;
  /** What the primary has noted; undefined: nothing is known yet. */
  readonly note: string | undefined;
}
