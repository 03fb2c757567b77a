import { join } from 'node:path';
import { createClient } from '@keyv/redis';
import { startRedis, type TestRedis } from '#test/support/redis.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

/** A cluster of three masters, each with a third of the slots, and a replica of the first. */
export interface ClusterRedis extends AsyncDisposable {
  /** As REDIS_URL has it. */
  readonly url: string;
  readonly masters: readonly TestRedis[];
  /** Sends a command to one of them: 0 to 2, or 3 for the replica. */
  readonly send: (server: number, command: readonly string[]) => Promise<unknown>;
}

/** Starts the servers, and waits until each says that the cluster is whole. They take a second of silence for the end. */
export async function startClusterRedis(): Promise<ClusterRedis> {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await makeTemporaryFolder());
  const servers: TestRedis[] = [];
  for (let n = 0; n < 4; n++) {
    const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000'];
    servers.push(
      parts.use(
        await startRedis({ settings: [...settings, '--cluster-config-file', join(folder.path, `nodes-${n}.conf`)] }),
      ),
    );
  }
  const clients = await Promise.all(
    servers.map(async ({ url }) => {
      const client = createClient({ url });
      client.on('error', () => {});
      await client.connect();
      parts.defer(() => client.destroy());
      return client;
    }),
  );
  const send = (server: number, command: readonly string[]): Promise<unknown> =>
    (clients[server] as (typeof clients)[0]).sendCommand([...command]);
  const ports = servers.map(({ url }) => new URL(url).port);
  for (let n = 0; n < 3; n++) {
    const [first, last] = [Math.ceil((n * 16_384) / 3), Math.ceil(((n + 1) * 16_384) / 3) - 1];
    await send(n, ['CLUSTER', 'ADDSLOTSRANGE', String(first), String(last)]);
    await send(n, ['CLUSTER', 'SET-CONFIG-EPOCH', String(n + 1)]);
  }
  for (const port of ports.slice(1)) await send(0, ['CLUSTER', 'MEET', '127.0.0.1', port]);
  const ask = async (server: number, command: readonly string[]) => (await send(server, command)) as string;
  const first = await ask(0, ['CLUSTER', 'MYID']);
  const until = async (server: number, command: readonly string[], found: RegExp) => {
    while (!found.test(await ask(server, command).catch(String))) await new Promise(resolve => setTimeout(resolve, 20));
  };
  for (let n = 0; n < 3; n++) await until(n, ['CLUSTER', 'INFO'], /cluster_state:ok[\s\S]*cluster_known_nodes:4/);
  await until(3, ['CLUSTER', 'NODES'], new RegExp(first));
  await until(3, ['CLUSTER', 'REPLICATE', first], /OK/);
  await until(3, ['INFO', 'replication'], /master_link_status:up/);
  await until(1, ['CLUSTER', 'NODES'], new RegExp(`slave ${first}`));
  const closing = parts.move();
  return {
    url: `redis-cluster://${ports
      .slice(0, 3)
      .map(port => `127.0.0.1:${port}`)
      .join(',')}`,
    masters: servers.slice(0, 3),
    send,
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}
