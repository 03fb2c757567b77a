import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { startPostgresServer } from '#src/embedded/postgres-server.ts';
import { startRestartedServer } from '#src/embedded/restarted-server.ts';
import { postmasterOf } from '#test/embedded/process-end.ts';
import { startCommand } from '#test/support/command-process.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { aPost } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

describe('an embedded Postgres that is killed while the service runs', () => {
  it('is started again: calls fail with UNAVAILABLE meanwhile, and nothing is lost', async () => {
    await using folder = await makeTemporaryFolder();
    await using service = startCommand(['serve'], {}, { cwd: folder.path });
    const { url } = await service.ready();
    const client = createClient(PostService, createConnectTransport({ baseUrl: url, httpVersion: '1.1' }));
    const { post } = await client.createPost({ post: aPost() });
    const location = `${folder.path}/.data/postgres`;

    for (let n = 0; n < 2; n++) {
      const pid = await postmasterOf(location);
      process.kill(pid, 'SIGKILL');
      const killedAt = performance.now();
      const get = () => client.getPost({ key: { case: 'id', value: post?.id ?? '' } });
      // Its backends answer for a moment longer than it lives.
      await service.log.line({ msg: 'the embedded Postgres has ended unexpectedly' });
      for (;;) {
        const call = get();
        const answer = await call.catch(() => undefined);
        if (answer === undefined) {
          expect(await failureOf(call)).toMatchObject({ code: 'unavailable', reason: 'DATABASE_UNAVAILABLE' });
        } else {
          expect(answer.post).toEqual(post);
          if ((await postmasterOf(location).catch(() => pid)) !== pid) break;
        }
      }
      console.log(
        `embedded Postgres killed: calls succeed again after ${(performance.now() - killedAt).toFixed(0)} ms`,
      );
    }
  });

  it('is not left behind where the service stops while it is started again', async () => {
    await using folder = await makeTemporaryFolder();
    const log = new LogLines();
    const options = { dataDir: folder.path, log: pino({}, log), settings: { fsync: 'off' } };
    const postgres = await startEmbeddedPostgres(options);
    process.kill(await postmasterOf(postgres.location), 'SIGKILL');
    await log.line({ msg: 'the embedded Postgres has ended unexpectedly' });
    await postgres[Symbol.asyncDispose]();
    // It could not start on the folder while another one still ran there.
    await using next = await startEmbeddedPostgres(options);
    expect(next.location).toBe(postgres.location);
  });
});

describe('startRestartedServer', () => {
  it('gives up on what ends again and again', async () => {
    const log = new LogLines();
    let starts = 0;
    const shortLived = ['/bin/sh', '-c', 'echo database system is ready to accept connections'];
    const start = () => {
      starts++;
      return startPostgresServer(shortLived, undefined, pino({}, log));
    };
    const server = await startRestartedServer(start, pino({}, log), [0, 1, 1]);
    await log.line({ level: 60 });
    expect(starts).toBe(4);
    await server.stop();
  });
});
