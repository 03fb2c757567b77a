/**
 * How long to wait before a lost connection is tried again, in milliseconds: from 50 ms, doubled by each failure, up to 2 s,
 * with jitter, so that instances that were cut off together do not come back together.
 *
 * @param failures how many came before this one, since a connection was last up for a while.
 */
export function reconnectPauseMs(failures: number): number {
  return Math.min(LONGEST_MS, SHORTEST_MS * 2 ** (1 + Math.min(failures, 10))) * (0.5 + Math.random() / 2);
}

const SHORTEST_MS = 50;
const LONGEST_MS = 2000;
