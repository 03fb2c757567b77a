import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Account } from '#src/embedded/account.ts';

/** A program that ends when this process ends, however that happens. */
export interface SupervisedProcess {
  /** Resolves when the program has ended and all its output was read, with its exit code; 128 + n: killed by signal n. */
  readonly ended: Promise<number>;
  /**
   * Sends the program a signal, by its name without SIG, and lets it and its child processes run where they are stopped
   * (SIGSTOP), so that they heed it. No effect when it has ended.
   */
  signal(name: 'INT' | 'TERM' | 'QUIT' | 'KILL'): void;
}

/**
 * Runs a program under a small shell that holds a pipe from this process as its standard input. The kernel closes the
 * pipe when this process ends, also by SIGKILL; the shell then stops the program. Both are in a session of their own, so
 * that Ctrl-C at the terminal reaches this process only, which may still need the program while it drains.
 *
 * @param command the program's absolute path and its arguments.
 * @param options.account whom it runs as; default: as we do.
 * @param options.endSignal what stops it when this process ends.
 * @param options.onLine gets each line of its output and its error output.
 */
export function superviseProcess(
  command: readonly string[],
  options: {
    readonly account?: Account | undefined;
    readonly endSignal: 'INT' | 'TERM';
    readonly onLine: (line: string) => void;
  },
): SupervisedProcess {
  const { account, endSignal, onLine } = options;
  const shell = spawn('/bin/sh', ['-c', SUPERVISOR, 'postservice-supervisor', endSignal, ...command], {
    detached: true,
    cwd: '/',
    // Nothing of our own environment: secrets stay here, and no PG* or locale variable changes what Postgres does.
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    ...(account && { uid: account.uid, gid: account.gid }),
  });
  for (const output of [shell.stdout, shell.stderr]) createInterface({ input: output }).on('line', onLine);
  // A supervisor that is gone has nobody to signal; its end is told by `ended`.
  shell.stdin.on('error', () => {});
  const ended = once(shell, 'close').then(([code]) => Number(code ?? 128));
  return {
    ended,
    signal: name => {
      if (shell.stdin.writable) shell.stdin.write(`${name}\n`);
    },
  };
}

/**
 * The signal is repeated, since one that comes before the program has set its handlers is lost: a shell starts its
 * background jobs with SIGINT ignored. A stopped program heeds no signal, and a Postgres waits for its stopped backends, so
 * all are woken: children are found where Linux lists them, and the program alone elsewhere. The shell itself ignores what a terminal or an init system sends to everyone.
 */
const SUPERVISOR = `
end_signal=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
trap '' HUP INT TERM
send() {
  children=
  read -r children <"/proc/$program/task/$program/children"
  kill -s CONT "$program" $children
  kill -s "$1" "$program"
}
(
  while read -r signal; do send "$signal"; done <&3
  while send "$end_signal"; do sleep 1 3<&-; done
) >/dev/null 2>&1 &
watcher=$!
wait "$program"; code=$?
kill -s KILL "$watcher"
exit "$code"
`;
