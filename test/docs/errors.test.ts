import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_REASONS } from '#src/rpc/error-details.ts';
import { ROOT } from '#test/support/readme.ts';

const document = await readFile(join(ROOT, 'docs/errors.md'), 'utf8');
const reasons = [...document.matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map(([, reason = '']) => reason);

describe('docs/errors.md', () => {
  it('has a row for each reason that a client can get, and no other', () => {
    expect(reasons).toEqual(ERROR_REASONS);
  });

  it('lists no reason that the service never gives', async () => {
    const sources: string[] = [];
    for await (const file of glob('src/**/*.ts', { cwd: ROOT })) {
      if (!file.endsWith('error-reasons.ts')) sources.push(await readFile(join(ROOT, file), 'utf8'));
    }
    const code = sources.join('\n');
    expect(reasons.filter(reason => !code.includes(`'${reason}'`))).toEqual([]);
  });

  it.each(['README.md', 'CONTRIBUTING.md'])('is where %s leads', async file => {
    expect(await readFile(join(ROOT, file), 'utf8')).toContain('docs/errors.md');
  });
});
