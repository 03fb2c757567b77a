/**
 * The last thing that a position in the feed has seen. Each reading asks the database for it. If the database does not have it, or has
 * another change with its id, the position is of another history.
 */
export interface PlaceProof {
  /** The id of the last change; 0 for a truncation, or for none. */
  readonly id: bigint;
  /** The digest of the epoch and of what was seen last. */
  readonly digest: string;
  /** Transactions before the last one that may have been committed after it. A standby may have the last change and lack these. */
  readonly recent: readonly bigint[];
}

/** Each of these transactions once, without the last change's own, as many as fit into a token. */
export function mostRecent(xids: readonly bigint[], last: bigint): bigint[] {
  return [...new Set(xids)].filter(xid => xid !== last).slice(0, RECENT_MAX);
}

/** As many as commit within a moment. */
const RECENT_MAX = 32;
