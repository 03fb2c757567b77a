import type { HeldConnection } from '#src/db/pool/leak-detector.ts';

/** Observes a pool; times are in milliseconds. */
export interface PoolObserver {
  /** A caller has waited this long for its connection, or in vain. */
  readonly waited?: (ms: number) => void;
  /** A connection was released after this time. */
  readonly held?: (ms: number) => void;
  /** A connection is held for too long. */
  readonly leaked?: (held: HeldConnection) => void;
}

/** The state of the pool, in numbers of connections and callers. */
export interface PoolState {
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
}
