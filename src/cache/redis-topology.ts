import type { RedisHost, RedisUrl } from '#src/config/redis-url.ts';

/** A server and its ranges of slots, from the first to the last. */
export interface RedisShard extends RedisHost {
  readonly slots: readonly (readonly [first: number, last: number])[];
}

/** Sends one command to a server over its own connection. Rejects if that takes too long. */
export type AskRedis = (host: RedisHost, command: readonly string[], password: PasswordOf) => Promise<unknown>;

/** Which user and password a connection uses. */
export type PasswordOf = 'sentinel' | 'server';

/**
 * Finds which servers have which slots: asks the hosts one after the other, until one answers.
 *
 * @param known servers of earlier searches, which may know more than the configured hosts.
 * @param turn which host is asked first: another one each time, because one may be cut off and out of date.
 * @throws the error of the last host.
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
    // A server that does not know its own name is the one that was asked.
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
 * The slot of a key in a cluster: CRC16 (XMODEM) of the text in its first braces, or otherwise of the whole key.
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
