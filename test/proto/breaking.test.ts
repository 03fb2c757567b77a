import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const buf = join(root, 'node_modules/.bin/buf');

describe('buf breaking, against the committed baseline', () => {
  it('passes for the contract as it is', async () => {
    await expect(breakingAfter(text => text)).resolves.toEqual([]);
  });

  it('passes for a new field', async () => {
    const found = await breakingAfter(text => replaceOnce(text, /^ {2}string etag = 12/m, '  bool pinned = 99;\n\n$&'));
    expect(found).toEqual([]);
  });

  it.each([
    ['a removed field', /^ {2}google\.protobuf\.Timestamp purge_time = 11;$/m, '', 'FIELD_NO_DELETE'],
    [
      'a field of another type',
      /^ {2}google\.protobuf\.Timestamp purge_time = 11;$/m,
      '  int64 purge_time = 11;',
      'FIELD_SAME_TYPE',
    ],
    ['a renamed field', / purge_time = 11;$/m, ' expire_time = 11;', 'FIELD_SAME_NAME'],
    ['a removed enum value', /^ {2}PUBLISH_STATE_PUBLISHED = 3;$/m, '', 'ENUM_VALUE_NO_DELETE'],
  ])('finds %s', async (_, line, replacement, rule) => {
    await expect(breakingAfter(text => replaceOnce(text, line, replacement))).resolves.toContain(rule);
  });
});

/** The rules that the contract breaks after a change to `post.proto`, made on a copy. */
async function breakingAfter(change: (text: string) => string): Promise<string[]> {
  await using folder = await makeTemporaryFolder();
  for (const part of ['proto', 'vendor', 'baseline', 'buf.yaml']) {
    await cp(join(root, part), join(folder.path, part), { recursive: true });
  }
  const file = join(folder.path, 'proto/blog/v1/post.proto');
  await writeFile(file, change(await readFile(file, 'utf8')));
  // As `npm run check:proto` runs it.
  const command = ['breaking', 'proto', '--against', 'baseline/blog.v1.binpb', '--error-format', 'json'];
  const { stdout } = await promisify(execFile)(buf, command, { cwd: folder.path }).catch((error: BufFailure) => {
    // 100: the contract was compared, and faults were found. Anything else is a fault of the test.
    if (error.code !== 100) throw error;
    return error;
  });
  return stdout
    .split('\n')
    .filter(Boolean)
    .map(line => (JSON.parse(line) as { type: string }).type);
}

function replaceOnce(text: string, pattern: RegExp, replacement: string): string {
  if (!pattern.test(text)) throw new Error(`post.proto has no line like ${pattern}`);
  return text.replace(pattern, replacement);
}

interface BufFailure extends Error {
  readonly code: number;
  readonly stdout: string;
}
