import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** An attack that runs in a process of its own, so that it does not slow the good clients' one. */
export interface Attacker<T> {
  /** Ends it, where it has not ended by itself, and resolves with what became of it. */
  readonly end: () => Promise<T>;
  /** Resolves when it has ended. */
  readonly ended: Promise<unknown>;
}

/**
 * Starts an attack by its name from a local address (the good clients have another, as they would), and resolves when it begins.
 *
 * It runs with the lowest priority, since a real one has a machine of its own. What it takes from the good clients must be what it takes of
 * the service, not of the processors that they share here.
 */
export async function startAttacker<T>(attack: string, url: string, address: string): Promise<Attacker<T>> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'attack-process.ts'), attack, url, address], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
  const ended = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  // The first line says that it has started; the second, what became of it.
  await lines.next();
  return {
    ended,
    end: async () => {
      child.stdin.end();
      return JSON.parse((await lines.next()).value ?? '') as T;
    },
  };
}
