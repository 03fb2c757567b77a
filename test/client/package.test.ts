import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startExamplePostServer } from '#test/client/example-post-server.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const bin = (name: string) => join(root, 'node_modules/.bin', name);

/** A project of somebody else, which has installed the packed client. */
let project: { readonly path: string } & AsyncDisposable;
let tarball: string;

beforeAll(async () => {
  project = await makeTemporaryFolder();
  await run('npm', ['pack', join(root, 'client'), '--silent', '--offline'], project.path);
  tarball = join(project.path, (await readdir(project.path)).find(name => name.endsWith('.tgz')) ?? 'no tarball');
  const installed = join(project.path, 'node_modules/@postservice/client');
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', installed]);
  await linkDependencies();
  await writeFile(join(project.path, 'package.json'), '{ "type": "module" }');
});

afterAll(async () => project[Symbol.asyncDispose]());

describe('the packed client', () => {
  it('is clean under publint --strict', async () => {
    await expect(run(bin('publint'), [tarball, '--strict'])).resolves.toContain('All good!');
  });

  it('resolves with its types under attw, as ES modules', async () => {
    const verdict = await run(bin('attw'), [tarball, '--profile', 'esm-only', '--format', 'json']);
    expect(JSON.parse(verdict)).toMatchObject({ analysis: { packageName: '@postservice/client' } });
  });

  it('holds compiled code, declarations, licence and README, and nothing of the server', async () => {
    const listing = await run('tar', ['-tzf', tarball]);
    const files = listing.trim().split('\n');
    expect(files).toEqual(expect.arrayContaining(['package/LICENSE', 'package/README.md', 'package/dist/node.d.ts']));
    expect(files.filter(name => !/\.(js|d\.ts)$|\/(LICENSE|README\.md|package\.json)$/.test(name))).toEqual([]);
    expect(files.filter(name => name.includes('grpc/'))).toEqual([]);
  });

  it.each([
    'node.js',
    'web.js',
    'validate.js',
    'errors.js',
    'http2-session-manager.js',
    'web-timeout.js',
    'canonical-read.js',
  ])('imports in %s only what its package.json declares', async name => {
    const folder = join(project.path, 'node_modules/@postservice/client');
    const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;
    const declared = Object.keys(manifest.dependencies);
    const code = await readFile(join(folder, 'dist', name), 'utf8');
    const packages = [...code.matchAll(/from '(@[^/']+\/[^/']+)/g)].map(match => match[1]);
    expect(packages.length).toBeGreaterThan(0);
    expect(declared).toEqual(expect.arrayContaining(packages));
  });
});

describe('a project that installs the client', () => {
  it('compiles every TypeScript snippet of its README, and the declarations, strictly', async () => {
    const readme = await readFile(join(project.path, 'node_modules/@postservice/client/README.md'), 'utf8');
    const snippets = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(match => match[1] ?? '');
    expect(snippets.length).toBeGreaterThanOrEqual(4);
    const files = await Promise.all(snippets.map((text, i) => writeSource(`readme-${i + 1}.ts`, text)));
    await expect(compile(files, { types: ['node'] })).resolves.toBe('');
  });

  it('compiles for a browser without the types of Node', async () => {
    const file = await writeSource('browser.ts', WEB_CONSUMER.replace('process.argv[2]', 'location.href'));
    const browser = { types: [], lib: ['es2023', 'dom'], moduleResolution: 'bundler', module: 'esnext' };
    await expect(compile([file], browser)).resolves.toBe('');
  });

  it('fails to compile where a field does not exist', async () => {
    const file = await writeSource('wrong.ts', NODE_CONSUMER.replace("'slug'", "'slugg'"));
    await expect(compile([file], { types: ['node'] })).rejects.toMatchObject({
      stdout: expect.stringContaining('slugg'),
    });
  });

  it('calls the service by the entry for Node, and ends by itself', async () => {
    await using server = await startExamplePostServer();
    const file = await writeSource('node.ts', NODE_CONSUMER);
    await expect(run(process.execPath, [file, server.url, 'connect'])).resolves.toBe('Hello, World!\n');
  });

  it('calls the service by gRPC, and ends by itself while the connection is open', async () => {
    await using server = await startExamplePostServer(undefined, { http2: true });
    const file = await writeSource('node-grpc.ts', NODE_CONSUMER);
    await expect(run(process.execPath, [file, server.url, 'grpc'])).resolves.toBe('Hello, World!\n');
  });

  it('calls the service by the entry for browsers, and validates', async () => {
    await using server = await startExamplePostServer();
    const file = await writeSource('web.ts', WEB_CONSUMER);
    await expect(run(process.execPath, [file, server.url])).resolves.toBe('Hello, World!\nid\n');
  });
});

const NODE_CONSUMER = `
import { createPostClient } from '@postservice/client/node';

const [baseUrl = '', protocol] = process.argv.slice(2);
const posts = createPostClient(baseUrl, { protocol: protocol === 'grpc' ? 'grpc' : 'connect' });
const { post } = await posts.getPost({ key: { case: 'slug', value: 'hello-world' } });
console.log(post?.title);
`;

const WEB_CONSUMER = `
import { fieldViolations } from '@postservice/client/errors';
import { validationInterceptor } from '@postservice/client/validate';
import { createPostClient } from '@postservice/client/web';
import type { Post } from '@postservice/client/web/blog/v1/post_pb.js';

const posts = createPostClient(process.argv[2] ?? '', { interceptors: [validationInterceptor()] });
const { post } = await posts.getPost({ key: { case: 'slug', value: 'hello-world' } });
const { title } = post as Post;
console.log(title);
try {
  await posts.getPost({ key: { case: 'id', value: 'no-uuid' } });
} catch (error) {
  console.log(fieldViolations(error).map(violation => violation.field).join());
}
`;

/** What the client's package.json asks for, and the types of Node; taken from this project, since no network is needed. */
async function linkDependencies(): Promise<void> {
  const folder = join(project.path, 'node_modules');
  const manifest = JSON.parse(await readFile(join(folder, '@postservice/client/package.json'), 'utf8')) as Manifest;
  const names = Object.keys(manifest.dependencies);
  for (const name of [...names, '@types/node']) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await symlink(join(root, 'node_modules', name), join(folder, name));
  }
}

async function writeSource(name: string, text: string): Promise<string> {
  const file = join(project.path, name);
  await writeFile(file, text);
  return file;
}

/** What tsc prints; it throws where tsc finds a fault. The declarations of the client are checked too. */
async function compile(files: readonly string[], options: object): Promise<string> {
  const strict = { strict: true, noEmit: true, target: 'es2022', module: 'nodenext', exactOptionalPropertyTypes: true };
  const config = join(project.path, 'tsconfig.json');
  await writeFile(config, JSON.stringify({ compilerOptions: { ...strict, ...options }, files }));
  return run(bin('tsc'), ['-p', config]);
}

/** Runs a program and gives what it prints; it throws where that exits with another code than 0. */
async function run(command: string, args: readonly string[], cwd = project.path): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd, maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

interface Manifest {
  readonly dependencies: Record<string, string>;
}
