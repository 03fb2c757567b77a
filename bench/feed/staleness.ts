import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import pg from 'pg';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { Random } from '../random.ts';

/** How soon other instances have a write that one has acknowledged. */
export interface Staleness {
  readonly seconds: number;
  readonly writes: number;
  readonly reads: number;
  /** From the acknowledgement until the first read at another instance that had it, in milliseconds; without the first 5 s. */
  readonly ms: { readonly median: number; readonly p99: number; readonly most: number };
  /** Reads at the writing instance, after the acknowledgement, that did not have it. */
  readonly ownStale: number;
  /** Reads that carried the write's token, at other instances, and did not have it. */
  readonly tokenViolations: number;
  /** Calls that failed. */
  readonly failed: number;
}

/**
 * Changes hot posts at one instance after the other, and reads each change at once at all of them. It reads at its own, with its token at
 * another, and without one at a third until that has it. All of them have the post in their caches.
 *
 * @param faults ends backends of the change feed, all connections of an instance's, each few seconds.
 */
export async function measureStaleness(
  urls: readonly string[],
  databaseUrl: string,
  options: { readonly seconds: number; readonly faults: boolean },
): Promise<Staleness> {
  const clients = urls.map(baseUrl =>
    createClient(PostService, createConnectTransport({ baseUrl, httpVersion: '1.1' })),
  );
  const [first] = clients as [Client<typeof PostService>];
  const ids: string[] = [];
  // One by one: a pool that has no connection yet would refuse some of all of them at once.
  for (let n = 0; n < POSTS; n++) {
    const { post } = await first.createPost({ post: { title: 'Hot', slug: `hot-${randomUUID()}` } });
    ids.push(post?.id ?? '');
  }
  const until = performance.now() + WARM_UP_MS + options.seconds * 1000;
  const ending = new AbortController();
  const faults = options.faults ? breakFeeds(databaseUrl, ending.signal) : undefined;
  const totals = { writes: 0, reads: 0, ownStale: 0, tokenViolations: 0, failed: 0 };
  const took: number[] = [];
  const random = new Random(1);

  const read = async (client: Client<typeof PostService>, id: string, token?: string) => {
    totals.reads++;
    const headers = token === undefined ? undefined : { 'x-consistency-token': token };
    const { post } = await client.getPost({ key: { case: 'id', value: id } }, { headers });
    return Number.parseInt(post?.etag ?? '', 10);
  };
  /** One post is changed by one loop, so that its revisions come one by one. */
  const change = async (id: string, n: number) => {
    for (let turn = n; performance.now() < until; turn++) {
      const [own, second, third] = [0, 1, 2].map(i => clients[(turn + i) % clients.length]) as typeof clients;
      if (own === undefined || second === undefined || third === undefined) return;
      try {
        await Promise.all(clients.map(client => read(client, id)));
        let token = '';
        const { post } = await own.updatePost(
          { post: { id, content: String(turn) }, updateMask: { paths: ['content'] } },
          { onHeader: headers => (token = headers.get('x-consistency-token') ?? '') },
        );
        const acknowledgedAt = performance.now();
        const revision = Number.parseInt(post?.etag ?? '', 10);
        totals.writes++;
        const [ownRevision, withToken] = await Promise.all([
          read(own, id),
          read(second, id, token),
          (async () => {
            while ((await read(third, id)) < revision) await delay(1);
            if (acknowledgedAt > begin + WARM_UP_MS) took.push(performance.now() - acknowledgedAt);
          })(),
        ]);
        if (ownRevision < revision) totals.ownStale++;
        if (withToken < revision) totals.tokenViolations++;
      } catch {
        totals.failed++;
      }
      await delay(1000 * random.next());
    }
  };
  const begin = performance.now();
  await Promise.all(ids.map(change));
  ending.abort();
  await faults;
  took.sort((a, b) => a - b);
  const at = (share: number) => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN;
  const seconds = (performance.now() - begin) / 1000;
  return { seconds, ...totals, ms: { median: at(0.5), p99: at(0.99), most: at(1) } };
}

/** Ends the connections of all feeds each 3 s, and each 10 s all connections to the database. */
async function breakFeeds(databaseUrl: string, signal: AbortSignal): Promise<void> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  for (let n = 1; !signal.aborted; n++) {
    await delay(1000, undefined, { signal }).catch(() => {});
    if (n % 3 === 0) await client.query(`${TERMINATE} and application_name = 'postservice feed'`);
    if (n % 10 === 0) await client.query(`${TERMINATE} and application_name = 'postservice'`);
  }
  await client.end();
}

const POSTS = 20;
/** New processes that compile what they run for the first time, all at once, say nothing of those that have run for a while. */
const WARM_UP_MS = 5000;
const TERMINATE = 'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()';
