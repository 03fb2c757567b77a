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

/** The most transactions of `recent`: as many as commit within a moment. */
export const RECENT_MAX = 32;

/** The proof with these transactions of `changes` added to its own, as far as they are before `last`. */
export function withRecent(proof: PlaceProof, xids: Iterable<bigint>, last: bigint): PlaceProof {
  const all = new Set([...proof.recent, ...xids]);
  all.delete(last);
  const recent = [...all].sort((a, b) => (a < b ? 1 : -1)).slice(0, RECENT_MAX);
  return { ...proof, recent };
}
