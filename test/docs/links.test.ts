import { existsSync, globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '#test/support/readme.ts';

const DOCUMENTS = globSync(['*.md', 'docs/*.md', 'conformance/README.md'], { cwd: ROOT }).sort();

describe.each(DOCUMENTS)('%s', file => {
  it('has links that lead somewhere', async () => {
    const text = (await textOf(file)).replaceAll(/`[^`\n]*`/g, '');
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"/g)].map(
      ([, link, tag]) => link ?? tag ?? '',
    );
    const broken: string[] = [];
    for (const target of targets.filter(target => !/^https?:/.test(target))) {
      const [path = '', anchor] = target.split('#');
      const place = path === '' ? file : join(dirname(file), path);
      const exists = existsSync(join(ROOT, place));
      if (!exists || (anchor !== undefined && !(await anchorsOf(place)).includes(anchor))) broken.push(target);
    }
    expect(broken).toEqual([]);
  });

  it('names files that exist', async () => {
    const named = [
      ...(await textOf(file)).matchAll(/`((?:src|test|client|proto|scripts|bench|docs|deploy)\/[\w./-]*)`/g),
    ];
    expect(named.map(([, path = '']) => path).filter(path => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

/** Without its snippets, which tests run. */
async function textOf(file: string): Promise<string> {
  return (await readFile(join(ROOT, file), 'utf8')).replaceAll(/^```.*?^```$/gms, '');
}

/** The anchors that GitHub gives the headings of a document. */
async function anchorsOf(file: string): Promise<string[]> {
  return [...(await textOf(file)).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
