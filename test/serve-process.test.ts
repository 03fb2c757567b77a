import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { startCommand } from '#test/support/command-process.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

describe('serve', () => {
  it('says in one JSON event where it is, and how long the start took', async () => {
    await using service = await startService();
    const ready = await service.ready();
    expect(ready).toMatchObject({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      adminUrl: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      startupMs: expect.any(Number),
      msg: expect.stringMatching(/^PostService is ready on http:\/\/127\.0\.0\.1:\d+ /),
    });
    expect(Object.values(ready.phases).every(ms => ms <= ready.startupMs)).toBe(true);
    expect((await fetch(`${ready.adminUrl}/readyz`)).status).toBe(200);
    // For the report; what is bounded is the memory of the bundle, in dockerfile.test.ts.
    const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(service.pid)]);
    console.log(
      `from source: ready after ${ready.startupMs} ms ${JSON.stringify(ready.phases)}, ${stdout.trim()} KB resident`,
    );
  });

  it('logs one JSON object a line, and nothing else', async () => {
    await using service = await startService();
    await service.ready();
    service.signal('SIGTERM');
    const { stdout, stderr } = await service.ended;
    for (const line of stdout.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('msg');
    expect(stderr).toBe('');
  });

  it('starts no Postgres of its own where it is given one', async () => {
    await using service = await startService();
    await service.ready();
    expect(await readdir(service.folder)).toEqual([]);
    const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'ppid=']);
    expect(stdout.split('\n').map(Number)).not.toContain(service.pid);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('lets a running call end after %s, and exits with 0', async signal => {
    await using service = await startService({ SHUTDOWN_GRACE: '1h' });
    const call = await startCall((await service.ready()).url);
    service.signal(signal);
    expect(await service.log.line({ event: 'stopping' })).toMatchObject({ signal });
    expect(await call.finish()).toMatchObject({ statusCode: 404, body: expect.stringContaining('POST_NOT_FOUND') });
    expect(await service.ended).toMatchObject({ exitCode: 0, stderr: '' });
  });

  it('ends a call that outlasts the grace, and exits with 0', async () => {
    await using service = await startService({ SHUTDOWN_GRACE: '0ms' });
    const call = await startCall((await service.ready()).url);
    const cut = once(call.request, 'error');
    service.signal('SIGTERM');
    expect(await service.ended).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await cut).toMatchObject([{ code: 'ECONNRESET' }]);
  });

  it('exits with 1 at a second signal, whatever still runs', async () => {
    await using service = await startService({ SHUTDOWN_GRACE: '1h' });
    const call = await startCall((await service.ready()).url);
    call.request.on('error', () => {});
    service.signal('SIGTERM');
    await service.log.line({ event: 'stopping' });
    service.signal('SIGTERM');
    expect(await service.ended).toMatchObject({ exitCode: 1 });
  });

  it('keeps answering where nobody reads its log any more (R19)', async () => {
    await using service = await startService();
    const { url, adminUrl } = await service.ready();
    service.closeOutput();
    // Each of them is logged, and more than a pipe would buffer.
    for (let i = 0; i < 300; i++) {
      expect((await getPost(url)).status).toBe(404);
    }
    expect((await fetch(`${adminUrl}/livez`)).status).toBe(200);
    service.signal('SIGTERM');
    expect((await service.ended).exitCode).toBe(0);
  });

  it('keeps answering where the reader of its log stalls, and logs what waited when it goes on', async () => {
    await using service = await startService();
    const { url } = await service.ready();
    service.pauseOutput();
    // More than the pipe takes.
    for (let i = 0; i < 12; i++) await Promise.all(Array.from({ length: 100 }, () => getPost(url)));
    service.resumeOutput();
    service.signal('SIGTERM');
    const { exitCode, stdout } = await service.ended;
    expect(exitCode).toBe(0);
    expect(stdout.split('\n').filter(line => line.includes('"msg":"request"'))).toHaveLength(1200);
  });
});

/** The service in a process, with a database and a folder of its own. */
async function startService(env: Record<string, string> = {}) {
  await using parts = new AsyncDisposableStack();
  const database = parts.use(await createTestDatabase());
  const folder = parts.use(await makeTemporaryFolder());
  const settings = { DATABASE_URL: database.url, PAGE_TOKEN_SECRET: 'x'.repeat(32), ...env };
  const command = parts.use(startCommand(['serve'], settings, { cwd: folder.path }));
  const closing = parts.move();
  return { ...command, folder: folder.path, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}

const GET_POST = '/blog.v1.PostService/GetPost';
const ABSENT = JSON.stringify({ slug: 'no-such-post' });

function getPost(url: string): Promise<Response> {
  return fetch(url + GET_POST, { method: 'POST', headers: { 'content-type': 'application/json' }, body: ABSENT });
}

/** A call that the service waits for the rest of: it has told the client to go on with the body. */
async function startCall(url: string) {
  const headers = { 'content-type': 'application/json', 'content-length': ABSENT.length, expect: '100-continue' };
  const call: ClientRequest = request(url + GET_POST, { method: 'POST', headers });
  call.flushHeaders();
  await once(call, 'continue');
  return {
    request: call,
    /** Sends the rest. */
    async finish() {
      call.end(ABSENT);
      const [response] = (await once(call, 'response')) as [IncomingMessage];
      return { statusCode: response.statusCode, body: await text(response) };
    },
  };
}
