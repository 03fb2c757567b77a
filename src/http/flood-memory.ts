import { networkOf } from '#src/http/connection-limits.ts';

/** Remembers who flooded: to cut a session costs us more than it costs its client to open the next one. */
export interface FloodMemory {
  /** A session from this address was ended for a flood, or for frames that no client sends. */
  readonly blame: (address: string) => void;
  /** Whether a new connection of this network is to be refused. */
  readonly isFlooding: (network: string) => boolean;
}

/**
 * Ten sessions that were cut, none more than 30 s after the one before, have a network's new connections refused until 30 s after
 * the last: one broken client behind a shared address does not get there, and an attacker is let in for a second or so in each
 * half minute.
 */
export function createFloodMemory(now: () => number = () => performance.now()): FloodMemory {
  // The network that was blamed last is last.
  const blamed = new Map<string, { count: number; at: number }>();

  return {
    blame(address) {
      const network = networkOf(address);
      const before = blamed.get(network);
      const at = now();
      const count = before !== undefined && at - before.at < REMEMBER_MS ? before.count + 1 : 1;
      blamed.delete(network);
      blamed.set(network, { count, at });
      if (blamed.size <= NETWORKS_MAX) return;
      const [oldest] = blamed.keys();
      if (oldest !== undefined) blamed.delete(oldest);
    },
    isFlooding(network) {
      const entry = blamed.get(network);
      if (entry === undefined || entry.count < FLOODS_MAX) return false;
      if (now() - entry.at < REMEMBER_MS) return true;
      blamed.delete(network);
      return false;
    },
  };
}

const FLOODS_MAX = 10;
const REMEMBER_MS = 30_000;
/** A megabyte or so. */
const NETWORKS_MAX = 10_000;
