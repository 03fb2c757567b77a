import { pingDatabase } from '#src/db/migrations/schema-version.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import type { ReplicaSet } from '#src/db/replicas/replica-set.ts';
import type { OpenPostCache } from '#src/posts/cache/open-post-cache.ts';

/** Whether this instance should get calls, and why. */
export interface ReadinessReport {
  readonly isReady: boolean;
  /** Check by name, such as `database`: true if it passed; false, or what is wrong, if it failed. */
  readonly checks: Readonly<Record<string, boolean | string>>;
}

/** Checks, every second and on request, whether this instance should get calls. */
export class Readiness implements Disposable {
  readonly #look: () => ReadinessReport | Promise<ReadinessReport>;
  readonly #timer: NodeJS.Timeout | undefined;

  /**
   * @param look an error, or no result within 2 s, means not ready.
   * @param onLook called with the result of each periodic check; if unset, there are none.
   */
  constructor(look: () => ReadinessReport | Promise<ReadinessReport>, onLook?: (isReady: boolean) => void) {
    this.#look = look;
    if (onLook === undefined) return;
    const lookAgain = () => void this.report().then(({ isReady }) => onLook(isReady));
    this.#timer = setInterval(lookAgain, EVERY_MS).unref();
  }

  /** Checks now. Never rejects. */
  async report(): Promise<ReadinessReport> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<ReadinessReport>(resolve => {
      timer = setTimeout(resolve, TIMEOUT_MS, notReady(`no answer within ${TIMEOUT_MS} ms`));
    });
    try {
      return await Promise.race([this.#look(), late]);
    } catch (error) {
      return notReady(error instanceof Error ? error.message : String(error));
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** The parts of the service that readiness depends on. */
export interface ReadinessParts {
  readonly primary: ConnectionPool;
  readonly replicas: ReplicaSet;
  readonly cache: OpenPostCache;
  readonly isStopping: () => boolean;
}

/**
 * Checks each part of the service. Replicas and Redis are only reported: it serves without them.
 *
 * @param requiresDatabase false: an instance that can serve from its cache is ready without its database.
 */
export async function checkParts(parts: ReadinessParts, requiresDatabase: boolean): Promise<ReadinessReport> {
  const { primary, replicas, cache, isStopping } = parts;
  const database = await pingDatabase(primary);
  const canServe = database || (!requiresDatabase && cache.canServeStale());
  const { redis } = cache.state();
  return {
    isReady: !isStopping() && canServe,
    checks: {
      accepting: !isStopping(),
      database,
      ...replicas.state,
      ...(redis !== undefined && { redis: redis === 'closed' || `circuit ${redis}` }),
    },
  };
}

function notReady(problem: string): ReadinessReport {
  return { isReady: false, checks: { readiness: problem } };
}

/** As often as load balancers check. */
const EVERY_MS = 1000;
/** Orchestrators allow a probe a second or more. Calls should not go to a database that takes longer. */
const TIMEOUT_MS = 2000;
