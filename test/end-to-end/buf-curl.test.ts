import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ConnectError } from '@connectrpc/connect';
import { errorFromJson } from '@connectrpc/connect/protocol-connect';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aPost, aSlug } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BUF = join(ROOT, 'node_modules', '.bin', 'buf');
/** With this, buf asks the server for its schema; HTTP/1.1 has no streams to do that with. */
const REFLECTED = ['--http2-prior-knowledge'];
const parts = new AsyncDisposableStack();
let service: TestService;
/** The schema of the checkout, compiled: `--schema .` compiles it for each call. */
let image: string;

beforeAll(async () => {
  service = parts.use(await startTestService());
  image = join(parts.use(await makeTemporaryFolder()).path, 'image.binpb');
  await promisify(execFile)(BUF, ['build', '-o', image], { cwd: ROOT });
});
afterAll(() => parts.disposeAsync());

async function bufCurl(path: string, ...flags: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(BUF, ['curl', ...flags, `${service.url}${path}`], { cwd: ROOT });
  return stdout;
}
/** Calls a method of PostService. @throws the error that is printed. */
async function call(method: string, request: unknown, flags: readonly string[]) {
  const url = `/blog.v1.PostService/${method}`;
  const answer = await bufCurl(url, ...flags, '-d', JSON.stringify(request)).catch(({ stderr }) => {
    throw errorFromJson(JSON.parse(stderr), undefined, new ConnectError(stderr));
  });
  return JSON.parse(answer) as Record<string, unknown> & { post: Record<string, string> };
}

describe('buf curl', () => {
  it('lists its services', async () => {
    const services = (await bufCurl('', '--list-services', ...REFLECTED)).trim().split('\n');
    expect(services).toEqual([
      'blog.v1.PostService',
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ]);
  });

  it.each(['v1', 'v1alpha'])('calls server reflection %s by what that says of itself', async version => {
    const method = `grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const answer = await bufCurl(`/${method}`, ...REFLECTED, '-d', '{"listServices": ""}');
    const { listServicesResponse } = JSON.parse(answer) as { listServicesResponse: { service: { name: string }[] } };
    expect(listServicesResponse.service.map(({ name }) => name)).toContain(
      `grpc.reflection.${version}.ServerReflection`,
    );
  });

  it('lists its methods', async () => {
    const methods = (await bufCurl('', '--list-methods', ...REFLECTED)).trim().split('\n');
    expect(methods).toEqual([
      'blog.v1.PostService/BatchCreatePosts',
      'blog.v1.PostService/BatchGetPosts',
      'blog.v1.PostService/CreatePost',
      'blog.v1.PostService/DeletePost',
      'blog.v1.PostService/GetPost',
      'blog.v1.PostService/ListPosts',
      'blog.v1.PostService/UndeletePost',
      'blog.v1.PostService/UpdatePost',
      'blog.v1.PostService/WatchPosts',
      'grpc.health.v1.Health/Check',
      'grpc.health.v1.Health/List',
      'grpc.health.v1.Health/Watch',
      'grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
    ]);
  });

  it('calls a method with the schema of the checkout', async () => {
    expect(await call('ListPosts', { author: uuidv7() }, ['--schema', '.'])).toEqual({});
  });

  it.each(['grpc-v1', 'grpc-v1alpha'])('learns the schema by %s, through each protocol', async reflection => {
    for (const protocol of ['connect', 'grpc', 'grpcweb']) {
      const flags = ['--reflect-protocol', reflection, '--protocol', protocol, ...REFLECTED];
      expect(await call('ListPosts', { author: uuidv7() }, flags)).toEqual({});
    }
  });
});

describe.each([
  ['connect', 'by reflection over HTTP/2', () => REFLECTED],
  ['grpc', 'by reflection over HTTP/2', () => REFLECTED],
  ['grpcweb', 'by reflection over HTTP/2', () => REFLECTED],
  ['connect', 'with a schema, over HTTP/1.1', () => ['--schema', image]],
  ['grpcweb', 'with a schema, over HTTP/1.1', () => ['--schema', image]],
])('buf curl --protocol %s, %s', (protocol, _, schema) => {
  const flags = () => ['--protocol', protocol, ...schema()];

  it('calls every method', async () => {
    const [slug, author] = [aSlug(), uuidv7()];
    const fields = { title: 'Ünï ☃ 😀', slug, author, content: 'text', tags: ['a'] };
    const { post } = await call('CreatePost', { post: fields }, flags());
    expect(post).toMatchObject(fields);
    const { id } = post;
    expect(await call('GetPost', { slug }, flags())).toEqual({ post });
    expect(await call('BatchGetPosts', { ids: [id] }, flags())).toEqual({ posts: [post] });
    const batch = { requests: [{ post: { title: 'Other', slug: aSlug(), author } }] };
    expect(await call('BatchCreatePosts', batch, flags())).toMatchObject({ posts: [{ title: 'Other' }] });
    const list = { author, pageSize: 1, orderBy: 'create_time', view: 'POST_VIEW_FULL' };
    expect(await call('ListPosts', list, flags())).toMatchObject({ posts: [post], nextPageToken: expect.any(String) });
    const update = { post: { id, title: 'Updated' }, updateMask: 'title' };
    expect(await call('UpdatePost', update, flags())).toMatchObject({ post: { ...fields, title: 'Updated' } });
    expect(await call('DeletePost', { id }, flags())).toMatchObject({ post: { deleteTime: expect.any(String) } });
    const undeleted = await call('UndeletePost', { id }, flags());
    expect(undeleted).toMatchObject({ post: { id } });
    expect(undeleted.post).not.toHaveProperty('deleteTime');
  });

  it('watches changes', async () => {
    const author = uuidv7();
    const url = `${service.url}/blog.v1.PostService/WatchPosts`;
    // The command is a script that runs the program: both are to end.
    const watching = spawn(BUF, ['curl', ...flags(), '-d', JSON.stringify({ author }), url], { detached: true });
    try {
      let printed = '';
      for await (const chunk of watching.stdout) {
        printed += chunk;
        if (printed.includes('CREATED')) break;
        if (!printed.includes('resumeToken')) continue;
        await service.client.createPost({ post: aPost({ title: 'Seen', author }) });
      }
      expect(printed).toContain('"title": "Seen"');
    } finally {
      process.kill(-(watching.pid ?? 0), 'SIGKILL');
      await once(watching, 'close');
    }
  });

  it('prints an error with its details', async () => {
    expect(await failureOf(call('ListPosts', { pageSize: -1, skip: -1 }, flags()))).toMatchObject({
      code: 'invalid_argument',
      reason: 'VALIDATION_FAILED',
      fields: ['page_size', 'skip'],
    });
  });
});
