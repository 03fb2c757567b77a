import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Post, PostSchema } from '#gen/blog/v1/post_pb.js';
import { upsertPost } from '#src/cli/upsert-post.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

type Client = TestService['client'];

const createPost = async (slug: string): Promise<Post> => {
  const { post } = await service.client.createPost({ post: { slug, title: 'Old', author: 'Old' } });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
};
const getPost = async (slug: string) => (await service.client.getPost({ key: { case: 'slug', value: slug } })).post;
const aPost = (slug: string, title = 'New') => create(PostSchema, { slug, title, author: 'Old' });

/** A client of the service where something happens once, after the first answer to a method. */
function afterFirst(method: 'getPost' | 'createPost' | 'updatePost', event: () => unknown): Client {
  let calls = 0;
  const call = async (...args: [never, never]) => {
    const answer = await service.client[method](...args);
    if (calls++ === 0) await event();
    return answer;
  };
  return { ...service.client, [method]: call };
}
const loseAnswer = () => {
  throw new ConnectError('connection reset', Code.Unavailable);
};
const withoutWaiting = { sleep: async () => undefined };

describe('upsertPost', () => {
  it('sends only the fields that differ', async () => {
    const { id } = await createPost('fields');
    const client = afterFirst('updatePost', () => undefined);
    const masks: unknown[] = [];
    const updatePost: Client['updatePost'] = (request, options) => {
      masks.push(request.updateMask?.paths);
      return client.updatePost(request, options);
    };
    expect(await upsertPost({ ...client, updatePost }, aPost('fields'), {})).toBe('updated');
    expect(masks).toEqual([['title']]);
    expect(await getPost('fields')).toMatchObject({ id, title: 'New', author: 'Old' });
  });

  it('makes the post equal to the file even if somebody else changes another field in between', async () => {
    const { id } = await createPost('overtaken');
    const client = afterFirst('getPost', () =>
      service.client.updatePost({ post: { id, author: 'Somebody else' }, updateMask: { paths: ['author'] } }),
    );
    expect(await upsertPost(client, aPost('overtaken'), {})).toBe('updated');
    expect(await getPost('overtaken')).toMatchObject({ id, title: 'New', author: 'Old' });
  });

  it('updates the post that somebody else creates in between', async () => {
    let calls = 0;
    const getOvertaken: Client['getPost'] = async (request, options) => {
      const answer = service.client.getPost(request, options);
      if (calls++ === 0) await answer.catch(() => createPost('created-meanwhile'));
      return answer;
    };
    expect(await upsertPost({ ...service.client, getPost: getOvertaken }, aPost('created-meanwhile'), {})).toBe(
      'updated',
    );
    expect(await getPost('created-meanwhile')).toMatchObject({ title: 'New' });
  });

  it('creates the post again that somebody else deletes in between', async () => {
    const { id } = await createPost('deleted-meanwhile');
    const client = afterFirst('getPost', () => service.client.deletePost({ id }));
    expect(await upsertPost(client, aPost('deleted-meanwhile'), {})).toBe('created');
    expect((await getPost('deleted-meanwhile'))?.id).not.toBe(id);
  });

  it('counts an update as one when its answer is lost on the way', async () => {
    await createPost('lost-update');
    expect(await upsertPost(afterFirst('updatePost', loseAnswer), aPost('lost-update'), withoutWaiting)).toBe(
      'updated',
    );
    expect(await getPost('lost-update')).toMatchObject({ title: 'New' });
  });

  it('creates one post when the answer to its creation is lost on the way', async () => {
    expect(await upsertPost(afterFirst('createPost', loseAnswer), aPost('lost-create'), withoutWaiting)).toBe(
      'created',
    );
    const { posts } = await service.client.listPosts({ showDeleted: true, pageSize: 100 });
    expect(posts.filter(post => post.slug === 'lost-create')).toHaveLength(1);
  });

  it('fails with what the service says of a post that it refuses', async () => {
    await expect(upsertPost(service.client, aPost('UPPER'), {})).rejects.toMatchObject({ code: Code.InvalidArgument });
  });
});
