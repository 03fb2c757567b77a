import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runExport } from '#src/cli/export.ts';
import { runImport } from '#src/cli/import.ts';
import { aFolderOf, filesOf } from '#test/support/folder-of-files.ts';
import { startTcpProxy } from '#test/support/tcp-proxy.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

/** Runs a command and gives its exit code, and what it wrote. */
async function run(
  command: typeof runImport,
  args: string[],
  options: { terminal?: boolean; url?: string; signal?: AbortSignal } = {},
) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await command(args, {
    stdout: { write: text => out.push(String(text)) > 0 },
    stderr: { isTTY: options.terminal ?? false, columns: 100, write: text => err.push(text) },
    defaultUrl: options.url ?? service.url,
    signal: options.signal ?? new AbortController().signal,
  });
  return { code, out: out.join(''), err: err.join('') };
}
const SECONDS = String.raw`(\d+ min )?[\d.]+ s`;
const aFile = (title: string) => `---\ntitle: ${title}\n---\n`;

describe('import DIR', () => {
  it('imports, says the counts and exits 0', async () => {
    await using folder = await aFolderOf({ 'i1.md': aFile('1'), 'i2.md': aFile('2') });
    expect(await run(runImport, [folder.path])).toEqual({
      code: 0,
      out: expect.stringMatching(`^Imported in ${SECONDS}: 2 created, 0 updated, 0 unchanged, 0 failed\n$`),
      err: '',
    });
  });

  it('names what failed and exits 1', async () => {
    await using folder = await aFolderOf({ 'f1.md': aFile('1'), 'f2.md': 'bad', 'f\u001b[2J3.md': aFile('[a]') });
    expect(await run(runImport, [folder.path])).toEqual({
      code: 1,
      out: expect.stringMatching(/: 1 created, 0 updated, 0 unchanged, 2 failed\n$/),
      err: '✗ f\uFFFD[2J3.md\n    title: must be a string, not a list\n✗ f2.md\n    front matter: is missing: the first line must be --- for YAML or +++ for TOML\n',
    });
  });

  it('shows a progress bar on a terminal, and takes it away', async () => {
    await using folder = await aFolderOf({ 't1.md': aFile('1') });
    const { err } = await run(runImport, [folder.path], { terminal: true });
    expect(err).toMatch(/^\r─{24} {4}0 % {2}0\/1 {2}t1\.md/);
    expect(err.endsWith('\r\u001b[K')).toBe(true);
  });

  it('says what it would do in a dry run', async () => {
    await using folder = await aFolderOf({ 'd1.md': aFile('1') });
    for (const _ of [1, 2]) {
      const { code, out } = await run(runImport, [folder.path, '--dry-run']);
      expect(code).toBe(0);
      expect(out).toMatch(/^Checked in .*: 1 would be created, 0 would be updated, 0 would be unchanged, 0 failed\n$/);
    }
  });

  it('tells once that no service is there, and how to get one', async () => {
    await using folder = await aFolderOf({ 'n1.md': aFile('1'), 'n2.md': aFile('2') });
    const proxy = await startTcpProxy({ host: '127.0.0.1', port: 1 });
    const url = `http://127.0.0.1:${proxy.port}`;
    await proxy[Symbol.asyncDispose]();
    expect(await run(runImport, [folder.path], { url })).toEqual({
      code: 1,
      out: expect.stringMatching(/: 0 created, 0 updated, 0 unchanged, 0 failed, 2 not tried\n$/),
      err: `The service at ${url} can't be reached (connection refused). Start it with "npm start", or name another with --url; then run this again.\n`,
    });
  });

  it('tells that what answers is another service', async () => {
    await using folder = await aFolderOf({ 'o1.md': aFile('1') });
    await using other = createServer((_request, response) => response.writeHead(404).end('nothing here')).listen(
      0,
      '127.0.0.1',
    );
    await new Promise(resolve => other.once('listening', resolve));
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const { code, err } = await run(runImport, ['--url', url, folder.path]);
    expect(code).toBe(1);
    expect(err).toContain(`The service at ${url} is not PostService: HTTP 404`);
  });

  it('exits 130 when it is interrupted', async () => {
    await using folder = await aFolderOf({ 'x1.md': aFile('1') });
    const { code, out, err } = await run(runImport, [folder.path], { signal: AbortSignal.abort('SIGINT') });
    expect(code).toBe(130);
    expect(out).toMatch(/0 failed, 1 not tried\n$/);
    expect(err).toBe('Interrupted. Run it again to go on.\n');
  });

  it('exits 1 for a folder that is not there', async () => {
    const { code, err } = await run(runImport, ['/nowhere/at/all']);
    expect({ code, err }).toEqual({
      code: 1,
      err: 'import: /nowhere/at/all: no such file or folder\n',
    });
  });

  it.each([
    [[], 'name a folder'],
    [[''], 'name a folder'],
    [['a', 'b'], 'one folder only, not also b'],
    [['a', '--concurrency', '0'], '--concurrency: "0" must be an integer from 1 to 256'],
    [['a', '--concurrency', '1e2'], '--concurrency: "1e2" must be an integer from 1 to 256'],
    [
      ['a', '--url', 'localhost:8080'],
      '--url: "localhost:8080" must be an http or https URL, such as http://127.0.0.1:8080',
    ],
    [['a', '--force'], "Unknown option '--force'"],
    [['a', '--url'], "Option '--url <value>' argument missing"],
  ])('exits 2 for the command line %j', async (args, reason) => {
    const { code, out, err } = await run(runImport, args);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toContain(`import: ${reason}`);
  });

  it('helps', async () => {
    const { code, out } = await run(runImport, ['--help'], { url: 'http://example.test:1' });
    expect(code).toBe(0);
    expect(out).toMatch(/^Usage: import DIR/);
    expect(out).toContain('http://example.test:1');
  });
});

describe('export DIR', () => {
  it('exports, says the counts and exits 0', async () => {
    await using source = await aFolderOf({ 'exported.md': aFile('"E"') });
    await run(runImport, [source.path]);
    await using folder = await aFolderOf({});
    const { code, out, err } = await run(runExport, [folder.path]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(new RegExp(`^Exported in ${SECONDS}: \\d+ written, 0 unchanged, 0 failed\n$`));
    expect(await filesOf(folder.path)).toMatchObject({ 'exported.md': '---\ntitle: "E"\n---\n' });
  });

  it('exits 1 for a folder that cannot be made', async () => {
    await using folder = await aFolderOf({ file: '' });
    const { code, err } = await run(runExport, [`${folder.path}/file`]);
    expect({ code, err }).toEqual({ code: 1, err: `export: ${folder.path}/file: exists and is not a folder\n` });
  });

  it('exits 2 for a bad command line', async () => {
    expect((await run(runExport, [])).code).toBe(2);
    expect((await run(runExport, ['a', '--dry-run'])).code).toBe(2);
  });

  it('exits 130 when it is interrupted', async () => {
    await using folder = await aFolderOf({});
    expect((await run(runExport, [folder.path], { signal: AbortSignal.abort('SIGTERM') })).code).toBe(130);
  });

  it('helps', async () => {
    expect(await run(runExport, ['-h'])).toMatchObject({ code: 0, out: expect.stringMatching(/^Usage: export DIR/) });
  });
});
