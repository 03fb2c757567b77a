import { expect } from 'vitest';
import type { WatchPostsResponse } from '#gen/blog/v1/post_service_pb.js';
import { burnIds } from '#test/support/burn-ids.ts';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { aPost } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import type { TestService } from '#test/support/test-service.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

/**
 * What a client has of a history: tokens, and what it knows to be written. One is taken before the histories part (`shared`), and one
 * after that, of what is lost.
 */
export interface ClientMemory {
  readonly id: string;
  readonly title: string;
  readonly resumeToken: string;
  readonly consistencyToken: string;
}

type Watch = WatchReader<WatchPostsResponse>;

/** A client that creates posts, follows all changes, and reads what it has written, so that it is cached. */
export class HistoryClient implements Disposable {
  readonly #service: TestService;
  readonly #ending = new AbortController();
  readonly watch: Watch;

  constructor(service: TestService, resumeToken = '') {
    this.#service = service;
    this.watch = new WatchReader(service.client.watchPosts({ resumeToken }, { signal: this.#ending.signal }));
  }

  [Symbol.dispose](): void {
    this.#ending.abort();
  }

  /** Creates a post, waits until the watch has told of it, and reads it and the list. */
  async remember(title: string): Promise<ClientMemory> {
    const { client } = this.#service;
    let consistencyToken = '';
    const onHeader = (fields: Headers) => {
      consistencyToken = fields.get('x-consistency-token') ?? '';
    };
    await this.watch.until(({ places }) => places.length > 0);
    const { post } = await client.createPost({ post: aPost({ title }) }, { onHeader });
    const id = post?.id ?? '';
    await this.watch.until(() => this.#told().includes(id));
    await untilFeedHeard(this.#service);
    await readTitle(this.#service, id);
    await client.listPosts({});
    return { id, title, resumeToken: this.watch.places.at(-1)?.resumeToken ?? '', consistencyToken };
  }

  /** Gives a post another title, and reads it. */
  async rename({ id }: ClientMemory, title: string): Promise<void> {
    const { client } = this.#service;
    await client.updatePost({ post: { id, title }, updateMask: { paths: ['title'] } });
    await readTitle(this.#service, id);
  }

  #told(): (string | undefined)[] {
    return this.watch.changes.map(({ post }) => post?.id);
  }
}

/** Requires that the service has nothing of what was lost, in its caches and for whoever names it, and has what is left. */
export async function expectForgotten(service: TestService, lost: ClientMemory, kept: ClientMemory): Promise<void> {
  const { client } = service;
  for (const token of [undefined, lost.consistencyToken, kept.consistencyToken]) {
    const headers = token === undefined ? {} : { 'x-consistency-token': token };
    const get = (id: string) => client.getPost({ key: { case: 'id', value: id } }, { headers });
    expect(await failureOf(get(lost.id))).toMatchObject({ code: 'not_found' });
    expect((await get(kept.id)).post?.title).toBe(kept.title);
    const { posts } = await client.listPosts({}, { headers });
    expect(posts.map(({ id }) => id)).not.toContain(lost.id);
    expect(posts.map(({ id }) => id)).toContain(kept.id);
  }
}

/** Requires that this resume token is refused, and still is when ids were given out that it names. */
export async function expectExpired(service: TestService, databaseUrl: string, resumeToken: string): Promise<void> {
  await expectRefused(service, resumeToken);
  await burnIds(databaseUrl, 2000);
  await service.client.createPost({ post: aPost() });
  await untilFeedHeard(service);
  await expectRefused(service, resumeToken);
}

/** Requires that a watch from this token tells exactly of these posts, and then of what comes. */
export async function expectRest(service: TestService, resumeToken: string, ids: readonly string[]): Promise<void> {
  using client = new HistoryClient(service, resumeToken);
  const { id } = await client.remember('The last one');
  expect(client.watch.changes.map(({ post }) => post?.id)).toEqual([...ids, id]);
}

/** Requires that what is read twice comes from the near cache. */
export async function expectHits(service: TestService, id: string): Promise<void> {
  await untilFeedHeard(service);
  await readTitle(service, id);
  const before = await hitsOf(service);
  await readTitle(service, id);
  expect(await hitsOf(service)).toBe(before + 1);
}

/** Requires that the watch has ended, or ends, with OUT_OF_RANGE. */
export async function expectEnded(watch: Watch): Promise<void> {
  await expect(watch.until(() => false)).rejects.toMatchObject({ rawMessage: expect.stringContaining('resume_token') });
}

/** Requires that this resume token is refused. */
export async function expectRefused({ client }: TestService, resumeToken: string): Promise<void> {
  const reading = (async () => {
    for await (const { change } of client.watchPosts({ resumeToken })) if (change !== undefined) return;
  })();
  expect(await failureOf(reading)).toMatchObject({ code: 'out_of_range', reason: 'RESUME_TOKEN_EXPIRED' });
}

async function readTitle({ client }: TestService, id: string): Promise<string | undefined> {
  return (await client.getPost({ key: { case: 'id', value: id } })).post?.title;
}

async function hitsOf({ adminUrl }: TestService): Promise<number> {
  const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(/^cache_answers_total\{tier="near",outcome="hit"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}
