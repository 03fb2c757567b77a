import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { v7 as uuidv7 } from 'uuid';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import type { PostStore } from '#src/posts/post-store.ts';
import { type Quartiles, quartiles } from '../quartiles.ts';

/** Posts of 1 KB created in a second, in batches of 100. */
export interface MeasuredCreates {
  readonly name: string;
  readonly callers: number;
  readonly postsPerSecond: Quartiles;
}

/** Creates posts by the store alone, and through the service over gRPC, in turns of a second. */
export async function measureCreates(store: PostStore, url: string, rounds: number): Promise<MeasuredCreates[]> {
  const client = createClient(PostService, createGrpcTransport({ baseUrl: url }));
  const ways = {
    'the store': async () => {
      const posts = Array.from({ length: BATCH }, () => {
        const id = uuidv7();
        return { ...POST, id, slug: `post-${id}`, slugIfTaken: [], publishTime: undefined, request: undefined };
      });
      await store.create(posts, { validateOnly: false });
    },
    'BatchCreatePosts over gRPC': async () => {
      await client.batchCreatePosts({
        requests: Array.from({ length: BATCH }, () => ({ post: { ...POST, slug: `post-${uuidv7()}` } })),
      });
    },
  };
  const found = new Map<string, MeasuredCreates & { readonly rates: number[] }>();
  for (let round = 0; round <= rounds; round++) {
    for (const [name, createBatch] of Object.entries(ways)) {
      for (const callers of CALLERS) {
        const key = `${name} ${callers}`;
        const begin = performance.now();
        let posts = 0;
        const caller = async () => {
          while (performance.now() - begin < 1000) {
            await createBatch();
            posts += BATCH;
          }
        };
        await Promise.all(Array.from({ length: callers }, caller));
        // The first round is a warm-up.
        if (round === 0) found.set(key, { name, callers, rates: [], postsPerSecond: quartiles([0]) });
        else found.get(key)?.rates.push((posts * 1000) / (performance.now() - begin));
      }
    }
  }
  return [...found.values()].map(({ name, callers, rates }) => ({ name, callers, postsPerSecond: quartiles(rates) }));
}

const BATCH = 100;
const CALLERS = [1, 4];
const POST = { title: 'A title', content: 'x'.repeat(1000), author: 'Ada', tags: ['one', 'two'] };
