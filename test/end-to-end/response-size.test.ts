import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Post, PostView } from '#gen/blog/v1/post_pb.js';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { aSlug, type PostFields } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const MIB = 1024 * 1024;
/** 4 MiB, which an answer stays below. */
const LIMIT = 4 * MIB;
const FACE = '😀';

let service: TestService;
/** With its own default of what it takes. */
let grpcJs: grpc.Client;
/** As large as posts can be but for their content: 1,046,000 bytes and more together. */
let posts: Post[];
const author = FACE.repeat(219) + uuidv7();

beforeAll(async () => {
  service = await startTestService();
  grpcJs = new grpc.Client(new URL(service.url).host, grpc.credentials.createInsecure());
  posts = [];
  for (let n = 0; n < 4; n++) {
    const requests = Array.from({ length: 25 }, () => ({ post: largePost() }));
    posts.push(...(await service.client.batchCreatePosts({ requests })).posts);
  }
});
afterAll(async () => {
  grpcJs?.close();
  await service?.[Symbol.asyncDispose]();
});

describe('With posts whose fields are as large as can be, grpc-js by its defaults', () => {
  it('reads a page of 100 of them without content', async () => {
    const { length, message } = await call('listPosts', { pageSize: 100, author });
    expect(message.posts).toHaveLength(100);
    expect(length).toBeLessThan(2 * MIB);
  });

  it('reads all of them with content, in pages that end early', async () => {
    const found: string[] = [];
    const lengths: number[] = [];
    for (let pageToken = '', n = 0; n === 0 || pageToken !== ''; n++) {
      const request = { pageSize: 100, author, view: PostView.FULL, orderBy: 'create_time', pageToken };
      const { length, message } = await call('listPosts', request);
      found.push(...message.posts.map(post => post.id));
      lengths.push(length);
      pageToken = message.nextPageToken;
    }
    expect(found.sort()).toEqual(posts.map(post => post.id).sort());
    // One more post has 42 KB.
    expect(lengths[0]).toBeGreaterThan(LIMIT - 50_000);
    expect(Math.max(...lengths)).toBeLessThan(LIMIT);
  });

  it('reads such a page again, which is in the cache by now', async () => {
    const request = { pageSize: 100, author, view: PostView.FULL };
    const [first, again] = [await call('listPosts', request), await call('listPosts', request)];
    expect(again.message.posts).toEqual(first.message.posts);
    expect(again.length).toBeLessThan(LIMIT);
  });

  it('gets a page, to the byte the largest that there is room for', async () => {
    const [one, two] = [uuidv7(), uuidv7()].map(text => FACE.repeat(219) + text) as [string, string];
    const whole = await createPage(one, LIMIT - 1 - ROOM_FOR_TOKEN);
    const { length, message } = await call('listPosts', { pageSize: 100, author: one, view: PostView.FULL });
    expect(message).toMatchObject({ nextPageToken: '' });
    expect([message.posts.length, length]).toEqual([whole.length, LIMIT - 1 - ROOM_FOR_TOKEN]);

    const larger = await createPage(two, LIMIT - ROOM_FOR_TOKEN);
    const early = (await call('listPosts', { pageSize: 100, author: two, view: PostView.FULL })).message;
    expect(early.posts).toHaveLength(larger.length - 1);
    const rest = { pageSize: 100, author: two, view: PostView.FULL, pageToken: early.nextPageToken };
    expect((await call('listPosts', rest)).message).toMatchObject({
      posts: [{ id: expect.any(String) }],
      nextPageToken: '',
    });
  });

  it('gets a batch of one byte less than 4 MiB, and RESPONSE_TOO_LARGE for one of some bytes more', async () => {
    const name = FACE.repeat(219) + uuidv7();
    const page = await createPage(name, LIMIT - 1);
    const ids = page.map(post => post.id);
    const { length, message } = await call('batchGetPosts', { ids });
    expect([length, message.posts.map(post => post.id)]).toEqual([LIMIT - 1, ids]);

    const last = page.at(-1) as Post;
    // The time of the update may take six bytes less than that before.
    await service.client.updatePost({ post: { id: last.id, content: `${last.content}${'x'.repeat(10)}` } });
    expect(await failureOf(service.client.batchGetPosts({ ids }))).toMatchObject({
      code: 'resource_exhausted',
      reason: 'RESPONSE_TOO_LARGE',
      metadata: { max_bytes: String(LIMIT - 1) },
    });
    await expect(call('batchGetPosts', { ids })).rejects.toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED });
  });
});

describe('BatchCreatePosts', () => {
  it('refuses posts that it could not answer with, and writes none', async () => {
    const name = uuidv7();
    // The request has 200 bytes less than 4 MiB. The answer has ids, slugs and times as well.
    const request = (length: number) => ({
      requests: [...Array.from({ length: 99 }, () => 40_000), length].map(size => ({
        post: { title: 'A', author: name, slug: aSlug(), content: 'x'.repeat(size) },
      })),
    });
    const { input } = PostService.method.batchCreatePosts;
    const { length } = toBinary(input, create(input, request(0)));
    expect(await failureOf(service.client.batchCreatePosts(request(LIMIT - 200 - length)))).toMatchObject({
      code: 'resource_exhausted',
      reason: 'RESPONSE_TOO_LARGE',
    });
    expect((await service.client.listPosts({ author: name })).posts).toEqual([]);
  });

  it('answers what just fits, of which grpc-js takes the answer', async () => {
    const name = uuidv7();
    const post = (length: number) => ({ title: 'A', author: name, slug: aSlug(), content: 'x'.repeat(length) });
    const requests = [MIB, MIB, MIB, MIB - 1000].map(length => ({ post: post(length) }));
    const { length, message } = await call('batchCreatePosts', { requests });
    expect(message.posts).toHaveLength(4);
    expect(length).toBeLessThan(LIMIT);
    expect(length).toBeGreaterThan(LIMIT - 1000);
  });
});

/** What a page leaves free for the token of the next one. */
const ROOM_FOR_TOKEN = 128;

function largePost(contentLength = 31_457, by = author): PostFields {
  return {
    title: FACE.repeat(255),
    author: by,
    tags: Array.from({ length: 32 }, (_, n) => FACE.repeat(63) + String.fromCodePoint(0x1f600 + n)),
    slug: `${uuidv7()}-`.padEnd(200, 'x'),
    content: 'c'.repeat(contentLength),
    publishTime: { seconds: 1_767_225_600n, nanos: 123_000_000 },
  };
}

/** Creates 100 posts which make an answer of exactly this size. */
async function createPage(by: string, size: number): Promise<Post[]> {
  const created: Post[] = [];
  for (let n = 0; n < 4; n++) {
    const requests = Array.from({ length: 25 }, () => ({ post: largePost(31_000, by) }));
    created.push(...(await service.client.batchCreatePosts({ requests })).posts);
  }
  const { output } = PostService.method.batchGetPosts;
  const sizeNow = async () => {
    // In two halves, which are no answer that is too large.
    const ids = created.map(post => post.id);
    const halves = await Promise.all(
      [ids.slice(0, 50), ids.slice(50)].map(half => service.client.batchGetPosts({ ids: half })),
    );
    const all = halves.flatMap(half => half.posts);
    return { all, size: toBinary(output, create(output, { posts: all })).length };
  };
  // An update may change the lengths of times and etag, so the second one only adds what the first has missed.
  for (let missing = size - (await sizeNow()).size; missing !== 0; missing = size - (await sizeNow()).size) {
    const { all } = await sizeNow();
    const last = all.at(-1) as Post;
    const content = 'c'.repeat(last.content.length + missing);
    await service.client.updatePost({ post: { id: last.id, content }, updateMask: { paths: ['content'] } });
  }
  return (await sizeNow()).all;
}

type Rpc = 'listPosts' | 'batchGetPosts' | 'batchCreatePosts';
type Output<Name extends Rpc> = (typeof PostService.method)[Name]['output'];

/** Calls an RPC by grpc-js. */
function call<Name extends Rpc>(
  rpc: Name,
  request: MessageInitShape<(typeof PostService.method)[Name]['input']>,
): Promise<{ readonly length: number; readonly message: MessageShape<Output<Name>> }> {
  const { input, output, name } = PostService.method[rpc] as { input: DescMessage; output: Output<Name>; name: string };
  const bytes = Buffer.from(toBinary(input, create(input, request as MessageInitShape<DescMessage>)));
  const path = `/${PostService.typeName}/${name}`;
  return new Promise((resolve, reject) => {
    grpcJs.makeUnaryRequest(path, same, same, bytes, (error, answer = Buffer.alloc(0)) => {
      if (error) reject(error);
      else resolve({ length: answer.length, message: fromBinary(output, answer) as MessageShape<Output<Name>> });
    });
  });
}

function same(bytes: Buffer): Buffer {
  return bytes;
}
