import { type Client, createClient, type Transport } from '@connectrpc/connect';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import { expect } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { failureOf } from '#test/support/rpc-failure.ts';

/** The life of a post, and an error, through one transport: whatever the transport, all of it is the same. */
export async function livePostsThrough(transport: Transport): Promise<void> {
  const client: Client<typeof PostService> = createClient(PostService, transport);
  const author = uuidv7();
  const fields = { title: `Ünï ☃ 😀 ${author}`, content: 'x'.repeat(100_000), author, tags: ['ä', 'b'] };

  const { post: created } = await client.createPost({ post: fields, requestId: uuidv4() });
  expect(created).toMatchObject({ ...fields, slug: `uni-${author}` });
  const [id, slug, etag] = [created?.id ?? '', created?.slug ?? '', created?.etag ?? ''];

  const { posts: batch } = await client.batchCreatePosts({ requests: [{ post: { title: uuidv7(), author } }] });
  expect((await client.getPost({ key: { case: 'slug', value: slug } })).post).toEqual(created);
  expect((await client.batchGetPosts({ ids: [batch[0]?.id ?? '', id] })).posts).toEqual([batch[0], created]);

  const page = await client.listPosts({ author, orderBy: 'create_time', pageSize: 1 });
  expect(page.posts.map(post => post.id)).toEqual([id]);
  const rest = await client.listPosts({ author, orderBy: 'create_time', pageToken: page.nextPageToken });
  expect(rest).toMatchObject({ posts: [{ id: batch[0]?.id }], nextPageToken: '' });

  const { post: updated } = await client.updatePost({
    post: { id, etag, title: 'Updated' },
    updateMask: { paths: ['title', 'tags'] },
  });
  expect(updated).toMatchObject({ id, title: 'Updated', tags: [], content: fields.content });

  const { post: deleted } = await client.deletePost({ id });
  expect(deleted?.deleteTime).toBeDefined();
  const { post: undeleted } = await client.undeletePost({ id });
  expect(undeleted).toMatchObject({ id, title: 'Updated' });

  const absent = uuidv7();
  expect(await failureOf(client.getPost({ key: { case: 'id', value: absent } }))).toMatchObject({
    code: 'not_found',
    message: `no post '${absent}'`,
    reason: 'POST_NOT_FOUND',
    metadata: { post: absent },
    posts: [absent],
  });
  expect(await failureOf(client.listPosts({ pageSize: -1 }))).toMatchObject({
    code: 'invalid_argument',
    reason: 'VALIDATION_FAILED',
    fields: ['page_size'],
  });
}
