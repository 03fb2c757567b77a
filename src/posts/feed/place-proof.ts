/**
 * What a place in the change feed has seen last. The database is asked for it at each reading: where it has none of it, or another change
 * with the same id, its history is not the one that the place belongs to.
 */
export interface PlaceProof {
  /** Of the last change; 0 for a truncation, or where there is none. */
  readonly id: bigint;
  /** Of the epoch and what was seen last. */
  readonly digest: string;
  /**
   * Transactions before the last one that may have been committed after it. A standby may have the last change and lack theirs.
   */
  readonly recent: readonly bigint[];
}

/** Each of these transactions once but the last change's own, the first ones as far as a token has room. */
export function mostRecent(xids: readonly bigint[], last: bigint): bigint[] {
  return [...new Set(xids)].filter(xid => xid !== last).slice(0, RECENT_MAX);
}

/** As many as commit within a moment. */
const RECENT_MAX = 32;
