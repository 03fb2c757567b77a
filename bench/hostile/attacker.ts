import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

/** An attack that runs in a process of its own, so that it does not slow the good clients' one. */
export interface Attacker<T> {
  /** Ends it, where it has not ended by itself, and resolves with what became of it. */
  readonly end: () => Promise<T>;
  /** Resolves when it has ended. */
  readonly ended: Promise<unknown>;
}

/** Starts an attack by its name from a local address (the good clients have another, as they would), and resolves when its process runs. */
export async function startAttacker<T>(attack: string, url: string, address: string): Promise<Attacker<T>> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'attack-process.ts'), attack, url, address], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const told = text(child.stdout);
  const ended = once(child, 'close');
  await once(child, 'spawn');
  return {
    ended,
    end: async () => {
      child.stdin.end();
      return JSON.parse(await told) as T;
    },
  };
}
