import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { startProcess } from '#test/support/command-process.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

/** More than a start takes, and fewer than there are connections. */
const DESCRIPTORS = 120;
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

it('a service that has no file descriptor left goes on for those who have a connection, and takes new ones when it has (R18)', async () => {
  await using folder = await makeTemporaryFolder();
  await using database = await createTestDatabase();
  // The hard limit too: Node raises the soft one to it.
  const limited = ['/bin/sh', '-c', `ulimit -n ${DESCRIPTORS} && exec "$0" "$@"`, process.execPath, MAIN, 'serve'];
  const env = {
    // biome-ignore lint/style/noProcessEnv: what the process needs to find programs.
    PATH: process.env.PATH ?? '',
    ...{ DATABASE_URL: database.url, PAGE_TOKEN_SECRET: 'a'.repeat(64), PORT: '0', ADMIN_PORT: '0' },
  };
  await using service = startProcess(limited, { cwd: folder.path, env });
  const { url } = await service.ready();
  const { hostname: host, port } = new URL(url);
  const client = createClient(PostService, createGrpcTransport({ baseUrl: url }));
  const { post } = await client.createPost({ post: aPost() });
  const read = (from: typeof client) => from.getPost({ key: { case: 'id', value: post?.id ?? '' } });

  const sockets: Socket[] = [];
  const closed: Promise<unknown>[] = [];
  for (let n = 0; n < 2 * DESCRIPTORS; n++) {
    const socket = connect(Number(port), host);
    sockets.push(socket);
    // Those for which there is none left are closed at once: by the service, which has nothing to serve them with.
    closed.push(new Promise(resolve => socket.on('error', () => {}).once('close', resolve)));
  }
  await Promise.race(closed);
  expect((await read(client)).post?.id).toBe(post?.id);
  await client.updatePost({ post: { id: post?.id ?? '', title: 'Changed' }, updateMask: { paths: ['title'] } });

  for (const socket of sockets) socket.destroy();
  await Promise.all(closed);
  const another = createClient(PostService, createGrpcTransport({ baseUrl: url }));
  // The service hears of those that were closed in its own time.
  let found = await read(another).catch(() => undefined);
  while (found === undefined) found = await read(another).catch(() => undefined);
  expect(found.post?.title).toBe('Changed');

  service.signal('SIGTERM');
  expect(await service.ended).toMatchObject({ exitCode: 0 });
});
