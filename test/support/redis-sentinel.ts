import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { installedProgram } from '#test/support/installed-program.ts';
import { startRedis, type TestRedis } from '#test/support/redis.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

/** A master, its replica, and three sentinels that make the replica the master when that one is gone. */
export interface SentinelRedis extends AsyncDisposable {
  /** As REDIS_URL has it. */
  readonly url: string;
  readonly master: TestRedis;
  readonly replica: TestRedis;
}

/** Starts all of them, and waits until the sentinels know of each other and of the replica. They take 500 ms of silence for the end. */
export async function startSentinelRedis(): Promise<SentinelRedis> {
  await using parts = new AsyncDisposableStack();
  const master = parts.use(await startRedis());
  const masterPort = new URL(master.url).port;
  const replica = parts.use(await startRedis({ settings: ['--replicaof', '127.0.0.1', masterPort] }));
  const program = await installedProgram('redis-server', { brew: 'redis' });
  const folder = parts.use(await makeTemporaryFolder());
  await chmod(folder.path, 0o777);
  const ports = [await findFreePort(), await findFreePort(), await findFreePort()];
  const ready = await Promise.all(
    ports.map(async port => {
      const file = join(folder.path, `sentinel-${port}.conf`);
      await writeFile(file, settingsOf(port, masterPort), { mode: 0o666 });
      return startSentinel(program, file, parts);
    }),
  );
  await Promise.all(ready.map(({ knowsAll }) => knowsAll));
  const closing = parts.move();
  return {
    url: `redis-sentinel://${ports.map(port => `127.0.0.1:${port}`).join(',')}/mymaster`,
    master,
    replica,
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}

function startSentinel(
  program: string,
  file: string,
  parts: AsyncDisposableStack,
): { readonly knowsAll: Promise<unknown> } {
  const lines: string[] = [];
  const knowsAll = Promise.withResolvers<void>();
  const missing = new Set(['+slave', '+sentinel 1', '+sentinel 2']);
  const sentinel = superviseProcess([program, file, '--sentinel'], {
    endSignal: 'TERM',
    onLine: line => {
      lines.push(line);
      if (line.includes('+slave ')) missing.delete('+slave');
      if (line.includes('+sentinel ')) missing.delete(missing.has('+sentinel 1') ? '+sentinel 1' : '+sentinel 2');
      if (missing.size === 0) knowsAll.resolve();
    },
  });
  const ended = sentinel.ended.then(() => knowsAll.reject(new Error(`a sentinel ended:\n${lines.join('\n')}`)));
  parts.defer(async () => {
    knowsAll.promise.catch(() => {});
    sentinel.signal('KILL');
    await ended;
  });
  return { knowsAll: knowsAll.promise };
}

function settingsOf(port: number, masterPort: string): string {
  return `port ${port}
bind 127.0.0.1
sentinel monitor mymaster 127.0.0.1 ${masterPort} 2
sentinel down-after-milliseconds mymaster 500
sentinel failover-timeout mymaster 3000
sentinel parallel-syncs mymaster 1
`;
}
