import { networkOf } from '#src/http/guards/connection-limits.ts';

/** Remembers networks that flooded, because ending a session costs us more than opening the next one costs its client. */
export interface PenaltyBox {
  /** A connection from this address was ended for a flood. Errors do not count: they say nothing about others behind that address. */
  readonly blame: (address: string) => void;
  /** Whether a new connection of this network must be refused. */
  readonly isFlooding: (network: string) => boolean;
}

/**
 * A flooding connection is ended. After three of one network within ten seconds, new connections from there are refused for a second, and
 * after each further one for twice as long, up to ten seconds. Ten seconds without a flood end that. Open connections stay.
 */
export function createPenaltyBox(now: () => number = () => performance.now()): PenaltyBox {
  // The network that was penalised last is last.
  const blamed = new Map<string, { floods: number; at: number; penaltyMs: number; until: number }>();

  return {
    blame(address) {
      const network = networkOf(address);
      const before = blamed.get(network);
      const at = now();
      const isForgotten = before === undefined || at - Math.max(before.at, before.until) > FORGET_MS;
      const floods = isForgotten ? 1 : before.floods + 1;
      const penaltyMs = floods < FLOODS_MIN ? 0 : isForgotten ? FIRST_MS : nextPenalty(before.penaltyMs);
      blamed.delete(network);
      blamed.set(network, { floods, at, penaltyMs, until: at + penaltyMs });
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

function nextPenalty(beforeMs: number): number {
  return beforeMs === 0 ? FIRST_MS : Math.min(LONGEST_MS, beforeMs * 2);
}

/** The number of floods of a network after which other connections from there are refused. */
export const FLOODS_MIN = 3;
const FIRST_MS = 1000;
const LONGEST_MS = 10_000;
/** After the last flood, and the last refusal that it could cause. */
const FORGET_MS = 10_000;
/** About a megabyte. */
const NETWORKS_MAX = 10_000;
