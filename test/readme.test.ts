import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { settingsTable } from '#src/config/help.ts';
import { README_ADMIN_URL, README_URL, ROOT, snippetsOf } from '#test/support/readme.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

/** Their snippets have tests of their own, which need more than one service. */
const TESTED_ELSEWHERE = ['docs/backup.md'];
const DOCUMENTS = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/*.md', { cwd: ROOT }).sort()];
const SNIPPETS = (
  await Promise.all(
    DOCUMENTS.filter(file => !TESTED_ELSEWHERE.includes(file)).map(async file =>
      (await snippetsOf(file)).map(snippet => ({ file, ...snippet })),
    ),
  )
).flat();
const run = (language: string) => SNIPPETS.filter(snippet => snippet.language === language && snippet.isRun);
const TYPESCRIPT = run('ts');

const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const STRICT =
  '--ignoreConfig --noEmit --strict --skipLibCheck --module nodenext --target es2022 --lib es2022,dom --types'
    .split(' ')
    .concat('');

let service: TestService;
let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;

beforeAll(async () => {
  service = await startTestService();
  await service.client.createPost({ post: { title: 'Hello, World!', author: 'Ada', tags: ['news'] } });
  folder = await makeTemporaryFolder();
  // A project that has installed the client package, as npm would lay it out.
  await writeFile(join(folder.path, 'package.json'), '{ "type": "module" }');
  await mkdir(join(folder.path, 'node_modules/@postservice'), { recursive: true });
  await symlink(join(ROOT, 'client'), join(folder.path, 'node_modules/@postservice/client'));
  await symlink(join(ROOT, 'node_modules/@connectrpc'), join(folder.path, 'node_modules/@connectrpc'));
  for (const snippet of TYPESCRIPT) await writeFile(sourceOf(snippet), here(snippet.text));
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

describe('README.md', () => {
  it('fits on a few screens', async () => {
    const lines = (await readFile(join(ROOT, 'README.md'), 'utf8')).trimEnd().split('\n');
    expect(lines.length).toBeLessThanOrEqual(150);
  });

  it.each(['npm ci && npm start', 'npm ci && npm test'])('has %s', async command => {
    expect((await snippetsOf('README.md')).map(({ text }) => text.trim())).toContain(command);
  });
});

describe('docs/settings.md', () => {
  it('has the table of all settings', async () => {
    expect(await readFile(join(ROOT, 'docs/settings.md'), 'utf8')).toContain(settingsTable());
  });
});

describe('The documents', () => {
  it('have snippets of each kind', () => {
    for (const language of ['sh', 'ts', 'go', 'python']) expect(run(language)).not.toHaveLength(0);
  });

  it('say why a snippet is not run', () => {
    expect(SNIPPETS.filter(({ isRun, reason }) => !isRun && reason === undefined)).toEqual([]);
  });

  it.each(run('sh'))('have commands that work: $file: $text', async ({ text }) => {
    const running = execute('/bin/bash', ['-e', '-o', 'pipefail', '-c', here(text)], ROOT);
    const { stdout } = text.includes('--max-time') ? await untilTimeIsUp(running) : await running;
    expect(stdout).not.toBe('');
    // curl is content with any answer.
    expect(stdout).not.toContain('"code":');
  });

  it('have TypeScript that compiles strictly', async () => {
    await execute(process.execPath, [TSC, ...STRICT, ...TYPESCRIPT.map(sourceOf)], folder.path);
  });

  it.each(TYPESCRIPT)('have TypeScript that works: $file: $text', async snippet => {
    // Bundled as for a web page, and run by Node, which has fetch as well.
    const platform = snippet.text.includes('@postservice/client/web') ? 'browser' : 'node';
    const outfile = sourceOf(snippet).replace(/ts$/, 'js');
    await build({
      entryPoints: [sourceOf(snippet)],
      outfile,
      bundle: true,
      format: 'esm',
      platform,
      logLevel: 'silent',
    });
    const { stdout } = await execute(process.execPath, [outfile], folder.path);
    expect(stdout).toContain('Hello, World!');
  });

  it('have Python that works', async ({ skip }) => {
    skip(!(await isInstalled('python3', '--version')), 'Python is not installed, and the service does not need it');
    for (const { text } of run('python')) {
      const { stdout } = await execute('python3', ['-c', here(text)], folder.path);
      expect(stdout).toContain('Hello, World!');
    }
  });

  it('have Go that works', async ({ skip }) => {
    skip(!(await isInstalled('go', 'version')), 'Go is not installed, and the service does not need it');
    for (const { text } of run('go')) {
      await writeFile(join(folder.path, 'main.go'), here(text));
      const { stdout } = await execute('go', ['run', 'main.go'], folder.path);
      expect(stdout).toMatch(/^200 OK .*Hello, World!/);
    }
  });
});

/** What a watch printed until curl ended it, which curl calls a failure. */
async function untilTimeIsUp(running: Promise<{ stdout: string }>): Promise<{ stdout: string }> {
  const error = await running.then(
    () => new Error('the watch ended before its time'),
    (cause: Error & { code?: number; stdout: string }) => cause,
  );
  if (!('stdout' in error && error.code === CURL_TIMED_OUT)) throw error;
  expect(error.stdout).toContain('"resumeToken":');
  return error;
}

/** https://curl.se/docs/manpage.html#EXIT */
const CURL_TIMED_OUT = 28;

function sourceOf({ file, index }: { readonly file: string; readonly index: number }): string {
  return join(folder.path, `${file.replaceAll(/\W/g, '-')}-${index}.ts`);
}

function here(text: string): string {
  return text.replaceAll(README_URL, service.url).replaceAll(README_ADMIN_URL, service.adminUrl);
}

async function isInstalled(program: string, argument: string): Promise<boolean> {
  return execute(program, [argument], ROOT).then(
    () => true,
    () => false,
  );
}

async function execute(program: string, args: readonly string[], cwd: string) {
  // biome-ignore lint/style/noProcessEnv: snippets run in the environment of whoever runs the tests.
  const env: NodeJS.ProcessEnv = { ...process.env };
  env.DATABASE_URL = service.databaseUrl;
  env.PAGE_TOKEN_SECRET = 'x'.repeat(32);
  env.PATH = [dirname(process.execPath), join(ROOT, 'node_modules/.bin'), env.PATH].join(':');
  return promisify(execFile)(program, args, { cwd, env });
}
