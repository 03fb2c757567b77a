import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aPost } from '#test/support/post-builder.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const AUTHOR = 'everybody';
const STAYING = 300;
let service: TestService;
/** Are there, and not changed, throughout. */
const staying = new Set<string>();

beforeAll(async () => {
  service = await startTestService();
  for (let from = 0; from < STAYING; from += 50) {
    for (const id of await createBatch(from)) staying.add(id);
  }
});
afterAll(() => service?.[Symbol.asyncDispose]());

/** 50 posts. Ten share each publish time, and each fifth is a draft. */
async function createBatch(from: number): Promise<string[]> {
  const requests = Array.from({ length: 50 }, (_, n) => {
    const publishTime = timestampFromMs(Math.floor((from + n) / 10) * 1000);
    return { post: aPost({ author: AUTHOR, tags: ['t'], ...(n % 5 !== 0 && { publishTime }) }) };
  });
  return (await service.client.batchCreatePosts({ requests })).posts.map(post => post.id);
}

/** Creates, updates and deletes posts, until told to stop; returns how many writes it did. */
async function write(stop: AbortSignal, seed: number): Promise<number> {
  const mine: string[] = [];
  for (let writes = 0; ; writes++) {
    if (stop.aborted) return writes;
    if (writes % 3 === 0 || mine.length === 0) {
      const publishTime = timestampFromMs(((seed * 7919 + writes * 104_729) % 100_000) + 0.5);
      const fields = { author: AUTHOR, tags: ['t'], ...(writes % 2 === 0 && { publishTime }) };
      const { post } = await service.client.createPost({ post: aPost(fields) });
      mine.push(post?.id ?? '');
    } else if (writes % 3 === 1) {
      const id = mine[writes % mine.length] ?? '';
      await service.client.updatePost({ post: { id, publishTime: timestampFromMs(writes * 1000) } });
    } else {
      const id = mine.shift() ?? '';
      await service.client.deletePost({ id });
    }
  }
}

const ORDERS = ['create_time', 'update_time', 'publish_time'].flatMap(field => [field, `${field} desc`]);
const FILTERS = [{ author: AUTHOR }, { tag: 't', showDeleted: true }];

describe('ListPosts by tokens, while others create, update and delete posts (R26)', () => {
  it.each(ORDERS)('neither skips nor repeats a post that is there throughout, in the order %s', async orderBy => {
    const stopping = new AbortController();
    const writers = Array.from({ length: 2 }, (_, seed) => write(stopping.signal, seed));
    let pages = 0;
    let skipped = 0;
    let repeated = 0;
    try {
      for (const filter of FILTERS) {
        const seen = new Map<string, number>();
        for (let pageToken = ''; ; ) {
          const page = await service.client.listPosts({ ...filter, orderBy, pageToken, pageSize: 7 + (pages % 13) });
          pages++;
          for (const { id } of page.posts) if (staying.has(id)) seen.set(id, (seen.get(id) ?? 0) + 1);
          pageToken = page.nextPageToken;
          if (pageToken === '') break;
        }
        skipped += staying.size - seen.size;
        repeated += [...seen.values()].filter(times => times > 1).length;
      }
    } finally {
      stopping.abort();
    }
    const writes = (await Promise.all(writers)).reduce((sum, n) => sum + n, 0);
    console.log(
      `R26: ${orderBy}: ${pages} pages, ${writes} writes meanwhile, ${skipped} skipped, ${repeated} repeated`,
    );
    expect(staying.size).toBe(STAYING);
    expect(writes).toBeGreaterThan(0);
    expect({ skipped, repeated }).toEqual({ skipped: 0, repeated: 0 });
  });
});
