import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { NOTHING_FLUSHED } from '#test/support/burn-ids.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { type LogEvent, startServiceProcess } from '../service-process.ts';
import { none, toSee } from './figures.ts';
import type { FaultRow, RowResult } from './row.ts';

/** Faults after which Postgres reuses transaction ids. */
export const HISTORY_ROWS: readonly FaultRow[] = [
  { id: 'R28', fault: 'Postgres or a backend killed while creates burn ids, 50 times', run: burnAndCrash },
];

async function burnAndCrash(): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const postgres = parts.use(await startPrivatePostgres({ settings: NOTHING_FLUSHED }));
  const settings = { DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: randomBytes(32).toString('hex') };
  const cuts = new FeedCuts();
  const services = [
    parts.use(await startServiceProcess(settings, cuts.heard)),
    parts.use(await startServiceProcess(settings)),
  ];
  const [reader, writer] = services.map(({ url }) => clientOf(url)) as [PostClient, PostClient];
  const watch = new Follower(reader);
  const resumes = new Follower(reader);
  await Promise.all([watch.isOpen, resumes.isOpen]);
  const { post } = await writer.createPost({ post: { title: 'Begin', slug: 'taken' } });
  const id = post?.id ?? '';
  const acknowledged: string[] = [];
  let [reads, stale, marked, reused, longestMs] = [0, 0, 0, 0, 0];
  const old: OldRead[] = [];
  for (let crash = 0; crash < CRASHES; crash++) {
    // The database is back.
    await update(writer, id, `Crash ${crash}`);
    acknowledged.push(`Crash ${crash}`);
    // Each is refused, and uses up an id.
    const burning = Array.from({ length: BURNT }, () =>
      writer.createPost({ post: { title: 'Burnt', slug: 'taken' } }).catch(() => {}),
    );
    await Promise.all(burning);
    // The cache and the feed have seen these ids.
    await Promise.all([read(reader, id), delay(LOOK_MS)]);
    const before = await nextId(postgres);
    await (crash % 2 === 0 ? killPostgres(postgres) : killBackend(postgres));
    if ((await nextId(postgres)) < before) reused++;
    resumes.reconnect();
    for (let n = 0; n < WRITES; n++) {
      // Half of them while the reader's feed is cut, and half after it has caught up.
      if (n === WRITES / 2) await cuts.end();
      const title = `Title ${crash} ${n}`;
      await update(writer, id, title);
      acknowledged.push(title);
      const begin = Date.now();
      const seen = await read(reader, id);
      reads++;
      if (seen.isMarked) marked++;
      else if (seen.title !== title) {
        old.push({ begin, end: Date.now() });
        if (!(await isSeenSoon(reader, id, title))) stale++;
        longestMs = Math.max(longestMs, Date.now() - begin);
      }
    }
  }
  for (const follower of [watch, resumes]) await follower.until(acknowledged.at(-1) as string);
  const missed = (follower: Follower) => acknowledged.filter(title => !follower.titles.has(title)).length;
  const figures = [
    none('changes that an open watch missed', missed(watch)),
    none('changes that a watch missed that resumed after each crash', missed(resumes)),
    none('watches ended with OUT_OF_RANGE', watch.expired + resumes.expired),
    none(
      'old answers without a mark, from the moment that the feed is cut until it has caught up',
      old.filter(cuts.hold).length,
    ),
    none(`answers without a mark that were still old after ${SOON_MS} ms`, stale),
    toSee(
      'old answers without a mark while the feed was whole, before it had heard of the write',
      `${old.filter(each => !cuts.hold(each)).length}, the longest for ${longestMs} ms`,
    ),
    toSee('times that the feed was cut', `${cuts.count}, for ${cuts.totalMs} ms together`),
    toSee('crashes after which ids were given out again', `${reused} of ${CRASHES}`),
    toSee('reads', `${reads}, of which ${marked} were marked as stale`),
  ];
  watch.end();
  resumes.end();
  return { figures };
}

/** Its beginning and end, in milliseconds since 1970. */
interface OldRead {
  readonly begin: number;
  readonly end: number;
}

/** When the reader knew that its change feed was cut, by its own log. */
class FeedCuts {
  readonly #cuts: { readonly from: number; to: number }[] = [];

  readonly heard = ({ msg, time: text }: LogEvent): void => {
    const time = Date.parse(text);
    if (msg?.startsWith('the change feed has lost its connection'))
      this.#cuts.push({ from: time, to: Number.POSITIVE_INFINITY });
    const last = this.#cuts.at(-1);
    if (msg === 'the change feed has caught up' && last !== undefined) last.to = time;
  };

  /** Whether the whole read was within one of them. */
  readonly hold = ({ begin, end }: OldRead): boolean => this.#cuts.some(({ from, to }) => from <= begin && end < to);

  /** Resolves when the feed has caught up. */
  async end(): Promise<void> {
    while (this.#cuts.at(-1)?.to === Number.POSITIVE_INFINITY) await delay(RETRY_MS);
  }

  get count(): number {
    return this.#cuts.length;
  }

  get totalMs(): number {
    return this.#cuts.reduce((sum, { from, to }) => sum + to - from, 0);
  }
}

type PostClient = Client<typeof PostService>;

function clientOf(url: string): PostClient {
  return createClient(PostService, createConnectTransport({ baseUrl: url, httpVersion: '1.1' }));
}

/** A watch that resumes with its last token when it ends, or when it is told to. */
class Follower {
  readonly titles = new Set<string>();
  expired = 0;
  readonly #client: PostClient;
  readonly #open = Promise.withResolvers<void>();
  #token = '';
  #isOver = false;
  #ending = new AbortController();

  constructor(client: PostClient) {
    this.#client = client;
    void this.#run();
  }

  get isOpen(): Promise<void> {
    return this.#open.promise;
  }

  reconnect(): void {
    this.#ending.abort();
  }

  end(): void {
    this.#isOver = true;
    this.#ending.abort();
  }

  /** Resolves when it has reported this title, or when the time for that is over. */
  async until(title: string): Promise<void> {
    const giveUpAt = performance.now() + GIVE_UP_MS;
    while (!this.titles.has(title) && performance.now() < giveUpAt) await delay(LOOK_MS);
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      this.#ending = new AbortController();
      try {
        const watch = this.#client.watchPosts({ resumeToken: this.#token }, { signal: this.#ending.signal });
        for await (const { resumeToken, change } of watch) {
          this.#token = resumeToken;
          this.#open.resolve();
          if (change?.post !== undefined) this.titles.add(change.post.title);
        }
      } catch (error) {
        if (ConnectError.from(error).rawMessage.includes('resume_token')) {
          this.expired++;
          this.#token = '';
        }
      }
      await delay(RETRY_MS);
    }
  }
}

async function killPostgres(postgres: PrivatePostgres): Promise<void> {
  await postgres.kill();
  await postgres.start();
}

/** Kills one backend. Postgres then ends all others, and restarts by itself. */
async function killBackend(postgres: PrivatePostgres): Promise<void> {
  const [row] = (await query(
    postgres.url,
    "select pid from pg_stat_activity where application_name = 'postservice' limit 1",
  )) as { pid: number }[];
  if (row !== undefined) process.kill(row.pid, 'SIGKILL');
}

/** The next transaction id. Waits for a server that is starting. */
async function nextId({ url }: PrivatePostgres): Promise<bigint> {
  for (;;) {
    const rows = await query(url, 'select pg_snapshot_xmax(pg_current_snapshot())::text as id').catch(() => []);
    const [row] = rows as { id: string }[];
    if (row !== undefined) return BigInt(row.id);
    await delay(RETRY_MS);
  }
}

async function update(client: PostClient, id: string, title: string): Promise<void> {
  const request = { post: { id, title }, updateMask: { paths: ['title'] } };
  while (
    !(await client.updatePost(request).then(
      () => true,
      () => false,
    ))
  )
    await delay(RETRY_MS);
}

async function read(client: PostClient, id: string): Promise<{ readonly title: string; readonly isMarked: boolean }> {
  for (;;) {
    let isMarked = false;
    const onHeader = (fields: Headers) => {
      isMarked = fields.has('cache-status');
    };
    const got = await client.getPost({ key: { case: 'id', value: id } }, { onHeader }).catch(() => undefined);
    if (got?.post !== undefined) return { title: got.post.title, isMarked };
    await delay(RETRY_MS);
  }
}

/** Time for the writes of another instance to arrive. */
async function isSeenSoon(client: PostClient, id: string, title: string): Promise<boolean> {
  const giveUpAt = performance.now() + SOON_MS;
  while (performance.now() < giveUpAt) {
    const seen = await read(client, id);
    if (seen.title === title || seen.isMarked) return true;
    await delay(RETRY_MS);
  }
  return false;
}

const CRASHES = 50;
const BURNT = 50;
const WRITES = 10;
/** The change feed polls ten times a second. */
const LOOK_MS = 150;
const RETRY_MS = 20;
const SOON_MS = 1000;
const GIVE_UP_MS = 15_000;
