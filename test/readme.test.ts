import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { settingsTable } from '#src/config/help.ts';
import { README_URL, ROOT, snippetsOf } from '#test/support/readme.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
const snippets = await snippetsOf('README.md');
const run = (language: string) => snippets.filter(snippet => snippet.language === language && snippet.isRun);
const firstLine = (text: string) => text.split('\n').find(line => !line.startsWith('import')) ?? '';

const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const STRICT =
  '--ignoreConfig --noEmit --strict --skipLibCheck --module nodenext --target es2022 --lib es2022,dom --types'
    .split(' ')
    .concat('');

let service: TestService;
let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;

beforeAll(async () => {
  service = await startTestService();
  folder = await makeTemporaryFolder();
  // A project that has installed the client package, as npm would lay it out.
  await writeFile(join(folder.path, 'package.json'), '{ "type": "module" }');
  await mkdir(join(folder.path, 'node_modules/@postservice'), { recursive: true });
  await symlink(join(ROOT, 'client'), join(folder.path, 'node_modules/@postservice/client'));
  await symlink(join(ROOT, 'node_modules/@connectrpc'), join(folder.path, 'node_modules/@connectrpc'));
  const notRun = snippets.filter(snippet => !snippet.isRun || snippet.language === 'mermaid');
  console.log(`not run: ${notRun.map(({ language, text }) => `${language} «${firstLine(text)}»`).join(', ')}`);
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

describe('The README', () => {
  it('has snippets of each kind', () => {
    for (const language of ['sh', 'ts', 'go', 'python']) expect(run(language)).not.toHaveLength(0);
  });

  it('has the table of all settings', () => {
    expect(readme).toContain(settingsTable());
  });

  it.each(run('sh'))('has commands that work: $text', async ({ text }) => {
    const running = execute('/bin/bash', ['-e', '-o', 'pipefail', '-c', here(text)], ROOT);
    const { stdout } = text.includes('--max-time') ? await untilTimeIsUp(running) : await running;
    expect(stdout).not.toBe('');
    // curl is content with any answer.
    expect(stdout).not.toContain('"code":');
  });

  it.each(run('ts'))('has TypeScript that works: $text', async ({ text, index }) => {
    const source = join(folder.path, `snippet-${index}.ts`);
    await writeFile(source, here(text));
    await execute(process.execPath, [TSC, ...STRICT, source], folder.path);
    // Bundled as for a web page, and run by Node, which has fetch as well.
    const platform = text.includes('@postservice/client/web') ? 'browser' : 'node';
    const bundle = join(folder.path, `snippet-${index}.js`);
    await build({ entryPoints: [source], outfile: bundle, bundle: true, format: 'esm', platform, logLevel: 'silent' });
    const { stdout } = await execute(process.execPath, [bundle], folder.path);
    expect(stdout).toContain('Hello, World!');
  });

  it('has Python that works', async ({ skip }) => {
    skip(!(await isInstalled('python3', '--version')), 'Python is not installed, and the service does not need it');
    for (const { text } of run('python')) {
      const { stdout } = await execute('python3', ['-c', here(text)], folder.path);
      expect(stdout).toContain('Hello, World!');
    }
  });

  it('has Go that works', async ({ skip }) => {
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

function here(text: string): string {
  return text.replaceAll(README_URL, service.url);
}

async function isInstalled(program: string, argument: string): Promise<boolean> {
  return execute(program, [argument], ROOT).then(
    () => true,
    () => false,
  );
}

async function execute(program: string, args: readonly string[], cwd: string) {
  // biome-ignore lint/style/noProcessEnv: snippets run in the environment of whoever runs the tests.
  const env = { ...process.env };
  env.PATH = [dirname(process.execPath), join(ROOT, 'node_modules/.bin'), env.PATH].join(':');
  return promisify(execFile)(program, args, { cwd, env });
}
