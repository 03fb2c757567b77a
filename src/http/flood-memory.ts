import { networkOf } from '#src/http/connection-limits.ts';

/** Remembers who flooded: to cut a session costs us more than it costs its client to open the next one. */
export interface FloodMemory {
  /** A session from this address was ended for a flood, or for frames that no client sends. */
  readonly blame: (address: string) => void;
  /** Whether a new connection of this network is to be refused. */
  readonly isFlooding: (network: string) => boolean;
}

/**
 * After a session was cut, new connections of its network are refused for a second, and after each further one for twice as long, up to
 * half a minute; a minute without one ends that. So a broken client keeps others behind its address out for a second, and an attacker gets
 * a session in each half minute. Connections that are open are left alone.
 */
export function createFloodMemory(now: () => number = () => performance.now()): FloodMemory {
  // The network that was blamed last is last.
  const blamed = new Map<string, { penaltyMs: number; until: number }>();

  return {
    blame(address) {
      const network = networkOf(address);
      const before = blamed.get(network);
      const at = now();
      const isForgotten = before === undefined || at - before.until > FORGET_MS;
      const penaltyMs = isForgotten ? FIRST_MS : Math.min(LONGEST_MS, before.penaltyMs * 2);
      blamed.delete(network);
      blamed.set(network, { penaltyMs, until: at + penaltyMs });
      if (blamed.size <= NETWORKS_MAX) return;
      const [oldest] = blamed.keys();
      if (oldest !== undefined) blamed.delete(oldest);
    },
    isFlooding(network) {
      const entry = blamed.size === 0 ? undefined : blamed.get(network);
      return entry !== undefined && now() < entry.until;
    },
  };
}

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;
/** After the last refusal could have been. */
const FORGET_MS = 60_000;
/** A megabyte or so. */
const NETWORKS_MAX = 10_000;
