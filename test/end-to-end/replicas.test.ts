import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startReplica, type TestReplica } from '#test/support/replica.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const SECRET = 's'.repeat(32);
let primary: PrivatePostgres;
let replica: TestReplica;
let service: TestService;
/** The same without a cache: so that each read is one of the database. */
let bare: TestService;

beforeAll(async () => {
  primary = await startPrivatePostgres();
  const migrated = await startTestService({ DATABASE_URL: primary.url });
  await migrated[Symbol.asyncDispose]();
  replica = await startReplica(primary.url);
  const settings = { DATABASE_URL: primary.url, DATABASE_REPLICA_URLS: replica.url, PAGE_TOKEN_SECRET: SECRET };
  service = await startTestService(settings);
  bare = await startTestService({ ...settings, CACHE_NEAR_BYTES: '0B' });
});
afterAll(async () => {
  await bare?.[Symbol.asyncDispose]();
  await service?.[Symbol.asyncDispose]();
  await replica?.[Symbol.asyncDispose]();
  await primary?.[Symbol.asyncDispose]();
});
beforeEach(() => untilReadFrom(bare));

describe('Reads where there is a replica', () => {
  it('go to it', async () => {
    const { post } = await bare.client.createPost({ post: aPost({ title: 'Before' }) });
    await replica.catchUp();
    await replica.pauseReplay();
    try {
      await rename(bare, post?.id ?? '', 'After');
      for (let n = 0; n < 10; n++) expect(await titleOf(bare, post?.id)).toBe('Before');
    } finally {
      await replica.resumeReplay();
    }
  });

  it('are right where the database has other defaults (R37)', async () => {
    await query(primary.url, "alter role all set datestyle = 'SQL, DMY'");
    try {
      await replica.catchUp();
      const settings = { DATABASE_URL: primary.url, DATABASE_REPLICA_URLS: replica.url, CACHE_NEAR_BYTES: '0B' };
      await using other = await startTestService({ ...settings, PAGE_TOKEN_SECRET: SECRET });
      await untilReadFrom(other);
      const { post } = await other.client.createPost({ post: aPost() });
      await replica.catchUp();
      expect((await other.client.getPost({ key: { case: 'id', value: post?.id ?? '' } })).post).toEqual(post);
    } finally {
      await query(primary.url, 'alter role all reset datestyle');
    }
  });

  it('have the write whose token they carry, however far the replica is behind (R12)', async () => {
    const { post } = await bare.client.createPost({ post: aPost({ title: 'Before' }) });
    const id = post?.id ?? '';
    await replica.catchUp();
    await replica.pauseReplay();
    try {
      for (let n = 0; n < 20; n++) {
        const title = `After ${n}`;
        const token = await rename(bare, id, title);
        expect(await titleOf(bare, id, token)).toBe(title);
      }
      expect(await titleOf(bare, id)).toBe('Before');
    } finally {
      await replica.resumeReplay();
    }
  });

  it('have what the same instance has written, without a token too, where it has a cache (R12)', async () => {
    const { post } = await service.client.createPost({ post: aPost({ title: 'Before', author: 'Replicated' }) });
    const id = post?.id ?? '';
    await replica.catchUp();
    await replica.pauseReplay();
    try {
      for (let n = 0; n < 20; n++) {
        const title = `After ${n}`;
        await rename(service, id, title);
        expect(await titleOf(service, id)).toBe(title);
        const batch = await service.client.batchGetPosts({ ids: [id] });
        expect(batch.posts.map(found => found.title)).toEqual([title]);
        for (const skip of [0, 1]) {
          const list = await service.client.listPosts({ author: 'Replicated', skip });
          expect(list.posts.map(found => found.title)).toEqual(skip === 0 ? [title] : []);
        }
      }
    } finally {
      await replica.resumeReplay();
    }
  });

  it('list all that was there throughout, by pages of one and the other, however far it is behind (R26)', async () => {
    const author = 'Listed from both';
    const ids: string[] = [];
    let token = '';
    const onHeader = (header: Headers) => {
      token = header.get('x-consistency-token') ?? '';
    };
    for (let n = 0; n < 60; n++) {
      // Those of the second half are not yet there when the list begins.
      if (n === 30) await replica.pauseReplay();
      const { post } = await bare.client.createPost({ post: aPost({ author }) }, { onHeader });
      ids.push(post?.id ?? '');
    }
    const listed: string[] = [];
    let pageToken = '';
    do {
      const page = await bare.client.listPosts(
        { author, pageSize: 7, pageToken },
        { headers: { 'x-consistency-token': token } },
      );
      listed.push(...page.posts.map(post => post.id));
      pageToken = page.nextPageToken;
      const { post } = await bare.client.createPost({ post: aPost({ author }) });
      if (listed.length % 2 === 0) await bare.client.deletePost({ id: post?.id ?? '' });
      // From here on the replica has all that the caller has to see, and not what was written since.
      if (listed.length === 14) {
        await replica.resumeReplay();
        await replica.catchUp();
        await replica.pauseReplay();
      }
    } while (pageToken !== '');
    await replica.resumeReplay();
    expect(listed.filter(id => ids.includes(id))).toEqual(ids.toReversed());
  });

  it('go to the primary while it is dead, and to it again when it is back, without an error', async () => {
    const { post } = await bare.client.createPost({ post: aPost({ title: 'There' }) });
    await replica.catchUp();
    await replica.kill();
    for (let n = 0; n < 20; n++) expect(await titleOf(bare, post?.id)).toBe('There');
    await bare.log.line({ msg: 'a replica gets no reads for now' });
    await replica.start();
    await bare.log.line({ msg: 'a replica gets reads again' });
    expect(await titleOf(bare, post?.id)).toBe('There');
  });

  it('go to the primary while it hangs, and none waits for it twice', async () => {
    const { post } = await bare.client.createPost({ post: aPost({ title: 'There' }) });
    await replica.catchUp();
    await replica.freeze();
    try {
      for (let n = 0; n < 20; n++) expect(await titleOf(bare, post?.id)).toBe('There');
    } finally {
      await replica.thaw();
    }
  });
});

describe('A replica that is too far behind', () => {
  it('is not read from, until it has caught up', async () => {
    const settings = { DATABASE_URL: primary.url, DATABASE_REPLICA_URLS: replica.url, CACHE_NEAR_BYTES: '0B' };
    await using strict = await startTestService({ ...settings, DATABASE_REPLICA_MAX_LAG: '300ms' });
    const { post } = await strict.client.createPost({ post: aPost({ title: 'Before' }) });
    const id = post?.id ?? '';
    await untilReadFrom(strict);
    await replica.catchUp();
    await replica.pauseReplay();
    try {
      await rename(strict, id, 'After');
      await strict.log.line({ msg: 'a replica gets no reads for now' });
      expect(await titleOf(strict, id)).toBe('After');
    } finally {
      await replica.resumeReplay();
    }
    await strict.log.line({ msg: 'a replica gets reads again' });
  });
});

describe('The connections to a replica', () => {
  it('have the metrics, the reports and the policy that those to the primary have', async () => {
    const settings = { DATABASE_URL: primary.url, DATABASE_REPLICA_URLS: replica.url, CACHE_NEAR_BYTES: '0B' };
    await using other = await startTestService({ ...settings, DATABASE_LANES: '3' });
    await untilReadFrom(other);
    const ask = async (path: string) => (await fetch(other.adminUrl + path)).text();
    await expect.poll(() => ask('/metrics')).toMatch(/^db_lanes_up\{dependency="replica-1"\} 3$/m);
    const metrics = await ask('/metrics');
    const series = (label: RegExp) =>
      metrics
        .split('\n')
        .filter(line => label.test(line))
        .map(nameOf);
    const ofReplica = series(/dependency="replica-1"|where="replica-1-/);
    expect(ofReplica).toEqual(
      series(/^db_(pool|lanes)_[a-z_]+(\{le="[^"]*"\})? |dependency="primary"|where="primary-/),
    );
    expect(ofReplica).toEqual(
      expect.arrayContaining(['db_pool_in_use', 'db_pool_wait_seconds_count', 'db_pool_leaks_total']),
    );
    const pools = JSON.parse(await ask('/poolz'));
    expect(pools.replicas[new URL(replica.url).host]).toMatchObject({
      ...{ isReadFrom: true, pool: { waiting: 0 }, held: expect.any(Array), lanes: { up: 3 } },
    });
    const breakers = JSON.parse(await ask('/breakerz'));
    expect(breakers.replicas[new URL(replica.url).host]).toEqual({
      ...breakers.primary,
      admissions: expect.objectContaining({ read: expect.anything(), write: expect.anything() }),
    });
  });

  it('are reported where one is held for too long', async () => {
    const settings = { DATABASE_URL: primary.url, DATABASE_REPLICA_URLS: replica.url, CACHE_NEAR_BYTES: '0B' };
    await using other = await startTestService({ ...settings, DATABASE_LEAK_AFTER: '100ms' });
    await untilReadFrom(other);
    await replica.freeze();
    try {
      const msg = 'a connection of the pool is held for too long';
      const report = await other.log.line({ msg, database: 'replica-1' });
      expect(report.takenBy).toContain('ReadLanes');
      const metrics = await (await fetch(`${other.adminUrl}/metrics`)).text();
      expect(metrics).toMatch(/^db_pool_leaks_total\{dependency="replica-1"\} [1-9]/m);
    } finally {
      await replica.thaw();
    }
  });
});

describe('Reads while the primary is dead', () => {
  it('go on, and writes say that there is no database', async () => {
    const { post } = await bare.client.createPost({ post: aPost({ title: 'Replicated' }) });
    await replica.catchUp();
    await untilReadFrom(bare);
    await primary.stopImmediately();
    for (let n = 0; n < 20; n++) expect(await titleOf(bare, post?.id)).toBe('Replicated');
    await expect(bare.client.createPost({ post: aPost() })).rejects.toThrow(/database is not available/);
  });
});

async function titleOf({ client }: TestService, id = '', token?: string): Promise<string | undefined> {
  const headers = token === undefined ? {} : { 'x-consistency-token': token };
  const { post } = await client.getPost({ key: { case: 'id', value: id } }, { headers });
  return post?.title;
}

function nameOf(line: string): string {
  return /^[a-z_]+/.exec(line)?.[0] ?? '';
}

/** @returns the write's consistency token. */
async function rename({ client }: TestService, id: string, title: string): Promise<string> {
  let token = '';
  const onHeader = (headers: Headers) => {
    token = headers.get('x-consistency-token') ?? '';
  };
  await client.updatePost({ post: { id, title }, updateMask: { paths: ['title'] } }, { onHeader });
  return token;
}

/** Resolves when the service reads from the replica. */
async function untilReadFrom({ adminUrl }: TestService): Promise<void> {
  for (;;) {
    const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
    if (/^db_replicas_usable 1$/m.test(metrics)) return;
  }
}
