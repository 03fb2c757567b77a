import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import packageJson from '#package.json' with { type: 'json' };
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { type Container, canIsolate, startContainer } from '#test/support/container.ts';
import { parseDockerfile, type Stage } from '#test/support/dockerfile.ts';
import { buildImage, sizeOf } from '#test/support/image-build.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const stages = parseDockerfile(await readFile(join(ROOT, 'Dockerfile'), 'utf8'));
const image = stages.at(-1) as Stage;

describe('The Dockerfile', () => {
  let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
  let root: string;
  let app: string;
  let database: TestDatabase | undefined;

  beforeAll(async () => {
    folder = await makeTemporaryFolder();
    root = await buildImage(stages, ROOT, folder.path);
    app = join(root, image.workdir);
    database = await createTestDatabase();
    await promisify(execFile)('chmod', ['-R', 'a-w', root]);
    const isolated = canIsolate()
      ? 'as PID 1, everything read-only'
      : 'NOT as PID 1, and only its own folder read-only';
    console.log(`The Dockerfile's COPY and RUN steps were replayed in folders, and what came out runs as
  ${process.getuid?.() === 0 ? `the user ${image.user}` : 'this user: only root could become another'}, ${isolated}.
  Not covered: the base image ${image.base} (its Node, libraries and entry point), Docker's network, EXPOSE.`);
  }, 600_000);

  afterAll(async () => {
    await database?.[Symbol.asyncDispose]();
    await promisify(execFile)('chmod', ['-R', 'u+w', folder.path]);
    await folder[Symbol.asyncDispose]();
  });

  it('has the Node that the tests run on', () => {
    expect(new Set(stages.map(stage => stage.base))).toEqual(
      new Set([`node:${packageJson.dependencies.node}-trixie-slim`]),
    );
    expect(process.version).toBe(`v${packageJson.dependencies.node}`);
  });

  it('leaves tools and the embedded Postgres out', async () => {
    expect((await readdir(app)).sort()).toEqual(['LICENSE', 'dist']);
    const files = await readdir(app, { recursive: true });
    expect(files.filter(file => /node_modules|\.ts$/.test(file))).toEqual([]);
    expect(await sizeOf(app)).toBeLessThan(15_000);
  });

  it('runs as an ordinary user', () => {
    expect(image.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  });

  it('serves, is healthy, and ends with 0 at SIGTERM', async () => {
    await using service = await start(image.command);
    const ready = await service.ready();
    expect(await service.run(image.healthcheck)).toBe(0);
    const response = await fetch(`http://127.0.0.1:${new URL(ready.url).port}/grpc.health.v1.Health/Check`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(await response.json()).toEqual({ status: 'SERVING' });
    const resident = async () => (await service.residentKilobytes()) / 1024;
    await expect.poll(resident, { timeout: 30_000 }).toBeLessThan(120);
    console.log(`the bundle: ready after ${ready.startupMs} ms with a given database, idle at ${await resident()} MiB`);
    service.signal('SIGTERM');
    expect(await service.ended).toMatchObject({ exitCode: 0, stderr: '' });
  });

  it('is not healthy where nobody answers', async () => {
    await using service = await start(['--help']);
    await service.ended;
    expect(await service.run(image.healthcheck)).toBe(1);
  });

  it('migrates', async () => {
    await using service = await start(['migrate']);
    expect(await service.ended).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('"event":"migrated"') });
  });

  async function start(command: readonly string[]): Promise<Container> {
    const ports = { PORT: '0', ADMIN_PORT: String(await findFreePort()) };
    const env = { ...image.env, ...ports, DATABASE_URL: database?.url ?? '', PAGE_TOKEN_SECRET: 'x'.repeat(32) };
    return startContainer([...image.entrypoint, ...command], {
      root,
      workdir: image.workdir,
      env,
      user: image.user ?? '',
    });
  }
});
