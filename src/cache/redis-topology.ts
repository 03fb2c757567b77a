import type { RedisHost, RedisUrl } from '#src/config/redis-url.ts';

/** A server, and the slots that it has, from the first to the last. */
export interface RedisShard extends RedisHost {
  readonly slots: readonly (readonly [first: number, last: number])[];
}

/** Asks one server a question over a connection of its own. Rejects where that takes too long. */
export type AskRedis = (host: RedisHost, command: readonly string[], password: PasswordOf) => Promise<unknown>;

/** Whose user and password a connection has. */
export type PasswordOf = 'sentinel' | 'server';

/**
 * Finds out which servers hold what now: asks the hosts, one after the other, until one answers.
 *
 * @param known servers that were found before, which may know more than those that are named.
 * @param turn which of the hosts is asked first: another one each time, since one may be cut off from the others and know only what was.
 * @throws what the last of them failed of.
 */
export async function findShards(
  url: RedisUrl,
  known: readonly RedisHost[],
  turn: number,
  ask: AskRedis,
): Promise<RedisShard[]> {
  if (url.kind === 'server') return url.hosts.map(host => ({ ...host, slots: ALL_SLOTS }));
  const hosts = url.kind === 'cluster' ? [...url.hosts, ...known] : url.hosts;
  let failure: unknown;
  for (let n = 0; n < hosts.length; n++) {
    const host = hosts[(turn + n) % hosts.length] as RedisHost;
    try {
      return url.kind === 'cluster' ? await askCluster(host, ask) : [await askSentinel(host, url.master, ask)];
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function askSentinel(host: RedisHost, master: string, ask: AskRedis): Promise<RedisShard> {
  const answer = await ask(host, ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master], 'sentinel');
  if (!Array.isArray(answer))
    throw new Error(`the sentinel ${host.host}:${host.port} does not know the master '${master}'`);
  const [name, port] = answer.map(String);
  return { host: name as string, port: Number(port), slots: ALL_SLOTS };
}

async function askCluster(host: RedisHost, ask: AskRedis): Promise<RedisShard[]> {
  const answer = (await ask(host, ['CLUSTER', 'SLOTS'], 'server')) as [number, number, [string | null, number]][];
  if (answer.length === 0) throw new Error(`${host.host}:${host.port} has heard of no slots yet`);
  const shards = new Map<string, RedisHost & { readonly slots: (readonly [number, number])[] }>();
  for (const [first, last, [name, port]] of answer) {
    // Where it does not know its own name, it is the one that it was asked by.
    const shard = shards.get(`${name}:${port}`) ?? { host: name || host.host, port, slots: [] };
    shard.slots.push([first, last]);
    shards.set(`${name}:${port}`, shard);
  }
  return [...shards.values()];
}

/** Of every cluster. */
export const SLOTS = 16_384;
const ALL_SLOTS = [[0, SLOTS - 1]] as const;

/**
 * The slot that a key has in a cluster of Redis: CRC16 (XMODEM) of what stands between its first braces, or else of all of it.
 * https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
 */
export function slotOfKey(key: string): number {
  const begin = key.indexOf('{');
  const end = begin < 0 ? -1 : key.indexOf('}', begin + 1);
  const hashed = end > begin + 1 ? key.slice(begin + 1, end) : key;
  let crc = 0;
  for (const byte of Buffer.from(hashed)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc % SLOTS;
}
