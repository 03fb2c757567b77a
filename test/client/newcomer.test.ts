import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { build, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { startChromium, whyNoChromium } from '#test/support/chromium.ts';
import { installedNode20 } from '#test/support/node-20.ts';
import { README_URL, ROOT, type Snippet, snippetsOf } from '#test/support/readme.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const GUIDES = ['docs/getting-started.md', 'client/README.md'] as const;
const SNIPPETS = await Promise.all(GUIDES.map(async file => ({ file, snippets: await snippetsOf(file) })));
const TYPESCRIPT = SNIPPETS.flatMap(({ file, snippets }) =>
  snippets.filter(({ language }) => language === 'ts').map(snippet => ({ file, ...snippet })),
);
const FOR_BROWSERS = TYPESCRIPT.filter(({ text }) => text.includes('@postservice/client/web'));
const noChromium = await whyNoChromium();

const parts = new AsyncDisposableStack();
let service: TestService;
let pagePort: number;

beforeAll(async () => {
  pagePort = await findFreePort();
  service = parts.use(await startTestService({ CORS_ORIGINS: `http://localhost:${pagePort}` }));
  await service.client.createPost({ post: { title: 'Hello, World!', content: 'A post.', tags: ['news'] } });
});
afterAll(() => parts.disposeAsync());

describe.each([
  ['Node 20', installedNode20],
  ['the Node of this project', async () => process.execPath],
])('In an empty folder with %s, after the steps of the guide', (_, findNode) => {
  let folder: string;
  let node: string;
  let missing: string | undefined;

  beforeAll(async () => {
    folder = parts.use(await makeTemporaryFolder()).path;
    try {
      node = await findNode();
      await installClient(folder, node);
    } catch (error) {
      // Where npm has no registry, no user of the client would get further either.
      if (!/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/.test(String(error))) throw error;
      missing = `skipped, since npm can't reach its registry: ${error}`;
      console.log(missing);
    }
  });

  it.for(TYPESCRIPT)('the snippet $index of $file runs', async (snippet, { skip }) => {
    skip(missing !== undefined, missing);
    await writeFile(join(folder, 'hello.mjs'), here(snippet.text));
    const { stdout, stderr, exitCode } = await run(node, join(folder, 'hello.mjs'), untilPrinted(snippet));
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(whatItPrints(snippet));
  });

  it.for(FOR_BROWSERS)('the snippet $index of $file runs in a page that Vite builds', async (snippet, { skip }) => {
    skip(missing !== undefined, missing);
    skip(noChromium !== undefined, noChromium);
    const root = join(folder, `page-${snippet.file.length}-${snippet.index}`);
    await mkdir(root);
    await writeFile(join(root, 'index.html'), '<script type="module" src="/hello.mjs"></script>');
    await writeFile(join(root, 'hello.mjs'), here(snippet.text));
    await build({ root, configFile: false, logLevel: 'error' });
    const page = await preview({ root, configFile: false, preview: { port: pagePort, strictPort: true } });
    try {
      expect(await consoleOf(`http://localhost:${pagePort}/`, whatItPrints(snippet))).toMatch(whatItPrints(snippet));
    } finally {
      await page.close();
    }
  });
});

it('A snippet in TypeScript runs as hello.mts, as the guide says', async ({ skip }) => {
  const folder = parts.use(await makeTemporaryFolder()).path;
  const [snippet] = TYPESCRIPT;
  if (snippet === undefined) throw new Error('the guide has no TypeScript');
  await installClient(folder, process.execPath).catch(error => skip(String(error)));
  await writeFile(join(folder, 'hello.mts'), here(snippet.text));
  const { stdout, exitCode } = await run(process.execPath, join(folder, 'hello.mts'));
  expect([exitCode, stdout]).toEqual([0, 'Hello, World!\n']);
});

it('Both guides have the same steps', () => {
  const [first, second] = SNIPPETS.map(({ snippets }) => stepsOf(snippets).map(step => step.replace(/ #.*$/, '')));
  expect(first).toEqual(second);
});

/** Runs the steps as they stand there, the first in the checkout and the second in the folder. */
async function installClient(folder: string, node: string): Promise<void> {
  const [pack = '', install = ''] = stepsOf(SNIPPETS[0]?.snippets ?? []);
  const tarball = /\S+\.tgz/.exec(pack)?.[0] ?? 'no tarball';
  // biome-ignore lint/style/noProcessEnv: npm and its set-up are those of whoever runs the tests.
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` };
  const shell = (command: string, cwd: string) => promisify(execFile)('/bin/sh', ['-c', command], { cwd, env });
  await shell(pack, ROOT);
  await shell(install.replace('/path/to/postservice', ROOT), folder);
  await rm(join(ROOT, tarball));
}

function stepsOf(snippets: readonly Snippet[]): readonly string[] {
  const steps = snippets.find(({ text }) => text.includes('npm pack'));
  if (steps === undefined) throw new Error('the guide does not say how to install the client');
  return steps.text.trim().split('\n');
}

/** What tells that a snippet did its work: those that print nothing have to end well. */
function whatItPrints({ text }: Snippet): RegExp {
  if (text.includes('resumeToken')) return /^next time: \{ resumeToken: '.+' \}$/m;
  if (text.includes('validator')) return /^title: /m;
  if (text.includes('decodeJson')) return /^publish_time: /m;
  if (text.includes('SLUG_TAKEN')) return /^there is a post with this slug already$/m;
  return text.includes('console.log(post') || text.includes('change.kind') ? /Hello, World!/ : /^$/;
}

/** A snippet that follows changes for ever is ended when it has printed what it has to. */
function untilPrinted(snippet: Snippet): RegExp | undefined {
  return snippet.text.includes('followPosts') && !snippet.text.includes('break') ? whatItPrints(snippet) : undefined;
}

function here(text: string): string {
  return text.replaceAll(README_URL, service.url);
}

async function run(node: string, file: string, until?: RegExp) {
  const child = spawn(node, [file], { cwd: dirname(file), stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  let isEnded = false;
  child.stderr.setEncoding('utf8').on('data', text => {
    output.stderr += text;
  });
  child.stdout.setEncoding('utf8').on('data', text => {
    output.stdout += text;
    isEnded ||= until?.test(output.stdout) === true && child.kill('SIGKILL');
  });
  const [exitCode] = await once(child, 'close');
  return { ...output, exitCode: isEnded ? 0 : (exitCode as number | null) };
}

/** What a page has printed, when it has printed what is wanted or has failed. */
async function consoleOf(url: string, wanted: RegExp): Promise<string> {
  await using browser = await startChromium();
  const page = await browser.newPage();
  const done = Promise.withResolvers<string>();
  let printed = '';
  page.on('console', message => {
    // The page has no icon, which Chromium asks for on its own.
    if (message.location().url.endsWith('/favicon.ico')) return;
    printed += `${message.text()}\n`;
    if (wanted.test(printed) || message.type() === 'error') done.resolve(printed);
  });
  page.on('pageerror', error => done.resolve(`${printed}${error.message}`));
  await page.goto(url);
  return await done.promise;
}
