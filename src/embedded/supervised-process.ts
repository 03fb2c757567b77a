import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Account } from '#src/embedded/account.ts';

/** A program that ends with this process, however that ends. */
export interface SupervisedProcess {
  /** Resolves with the exit code once the program has ended and its output was read. 128 + n means signal n. */
  readonly ended: Promise<number>;
  /**
   * Sends the program a signal, by its name without SIG. It and its child processes are continued first if they are stopped (SIGSTOP),
   * so that they react. No effect once the program has ended.
   */
  signal(name: 'INT' | 'TERM' | 'QUIT' | 'KILL'): void;
}

/**
 * Runs a program under a small shell whose standard input is a pipe from this process. When this process ends, also by SIGKILL, the
 * kernel closes the pipe, and the shell stops the program. Both have a session of their own, so that Ctrl-C reaches only this process,
 * which may need the program while it drains.
 *
 * @param command absolute path of the program, and its arguments.
 * @param options.account the account it runs as; default: that of this process.
 * @param options.endSignal stops the program when this process ends.
 * @param options.onLine called with each line of its output and error output.
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
    // Not our environment: it has secrets, and PG* and locale variables would change what Postgres does.
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    ...(account && { uid: account.uid, gid: account.gid }),
  });
  for (const output of [shell.stdout, shell.stderr]) createInterface({ input: output }).on('line', onLine);
  // `ended` reports the end of the shell, so a failed write needs no handling.
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
 * The end signal is repeated, because one that arrives before the program has set its handlers is lost: a shell starts background jobs
 * with SIGINT ignored. A stopped program ignores signals, and Postgres waits for stopped backends, so all are continued first; without
 * /proc only the program is. The shell ignores signals that a terminal or an init system sends to everyone.
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
