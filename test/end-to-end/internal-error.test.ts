import { createClient, createRouterTransport } from '@connectrpc/connect';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { PostServiceImpl } from '#src/posts/api/post-service.ts';
import type { PostStore } from '#src/posts/post-store.ts';
import { outcome } from '#src/rpc/outcome.ts';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { ERROR_ENCODINGS, TRANSPORTS } from '#test/support/transports.ts';

/** Each is a secret of ours. */
const SECRETS = ['select secret_column', 'db-1.internal.example', '/srv/postservice/src', 'hunter2', 'TypeError'];
const id = uuidv7();

/** A store all of whose methods fail in a way that nobody has thought of. */
const broken = new Proxy({} as PostStore, {
  get: () => async () => {
    const cause = new Error(`connect ECONNREFUSED ${SECRETS[1]}:5432`);
    const error = new TypeError(`${SECRETS[0]} from posts where password = '${SECRETS[3]}'`, { cause });
    error.stack = `TypeError: ${error.message}\n    at run (${SECRETS[2]}/posts/store.ts:1:2)`;
    throw error;
  },
});
const impl = new PostServiceImpl(broken, broken as never, 'x'.repeat(32), broken as never);
let port: PublicPort;

beforeAll(async () => {
  port = await openPublicPort({ posts: impl });
});
afterAll(() => port?.[Symbol.asyncDispose]());

describe.each(ERROR_ENCODINGS)('an error that nobody has thought of, through %s', name => {
  const client = () => createClient(PostService, TRANSPORTS[name](port.url, {}));
  const CALLS: [string, () => Promise<unknown>][] = [
    ['GetPost', () => client().getPost({ key: { case: 'id', value: id } })],
    ['BatchGetPosts', () => client().batchGetPosts({ ids: [id] })],
    ['ListPosts', () => client().listPosts({})],
    ['CreatePost', () => client().createPost({ post: { title: 'x' } })],
    ['BatchCreatePosts', () => client().batchCreatePosts({ requests: [{ post: { title: 'x' } }] })],
    ['UpdatePost', () => client().updatePost({ post: { id, title: 'x' } })],
    ['DeletePost', () => client().deletePost({ id })],
    ['UndeletePost', () => client().undeletePost({ id })],
  ];

  it.each(CALLS)('of %s is INTERNAL, and says nothing of its cause', async (_, call) => {
    expect(await failureOf(call())).toEqual({
      code: 'internal',
      message: 'internal error',
      reason: 'INTERNAL',
      metadata: {},
      fields: [],
      posts: [],
      retryDelayMs: undefined,
    });
  });

  it('is logged once, with its cause and its stack, as an error', async () => {
    const requestId = uuidv7();
    await failureOf(client().getPost({ key: { case: 'id', value: id } }, { headers: { 'x-request-id': requestId } }));
    await port.log.line({ id: requestId });
    const lines = port.log.lines.filter(line => line.id === requestId);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 50, code: 'internal', procedure: 'blog.v1.PostService/GetPost' });
    const text = JSON.stringify(lines[0]);
    for (const secret of SECRETS) expect(text.split(secret).length, secret).toBeGreaterThan(1);
    expect(port.log.lines.filter(line => line.id === undefined)).toEqual([]);
  });
});

describe('an error that nobody has thought of, over the wire', () => {
  const json = JSON.stringify({ id });
  it.each([
    ['application/json', json, '"code":"internal"'],
    ['application/grpc-web+json', `\0\0\0\0${String.fromCharCode(json.length)}${json}`, 'grpc-status: 13'],
  ])('leaks nothing in its head, body or details as %s', async (contentType, body, internal) => {
    const url = `${port.url}/blog.v1.PostService/GetPost`;
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': contentType }, body });
    const text = await response.text();
    expect(text).toContain(internal);
    const details = [...text.matchAll(/(?:"value":"|details-bin: )([A-Za-z0-9+/]+)/g)].map(match => match[1] ?? '');
    expect(details).toHaveLength(1);
    const all = [...response.headers, text, Buffer.from(details[0] ?? '', 'base64').toString('latin1')].join('\n');
    for (const secret of [...SECRETS, 'posts.ts', 'node:', 'node_modules', 'at run']) expect(all).not.toContain(secret);
  });
});

describe('an error that nobody has thought of, in memory', () => {
  it('is the same', async () => {
    const transport = createRouterTransport(router => router.service(PostService, impl), {
      router: { interceptors: [outcome()] },
    });
    const call = createClient(PostService, transport).getPost({ key: { case: 'id', value: id } });
    expect(await failureOf(call)).toMatchObject({ code: 'internal', message: 'internal error', reason: 'INTERNAL' });
  });
});
