/** What the database has noted of its history (`post_changes_history`), as one text: another one after a restore or a promotion. */
export const HISTORY_NOTE = "concat_ws(' ', epoch, timeline)";

/** The history that replicas have to follow. */
export interface FollowedHistory {
  /** Counts the lives of the primary; undefined: nothing is known of it now. */
  readonly era: number | undefined;
  /** What the primary has noted; undefined: nothing is known yet. */
  readonly note: string | undefined;
}
