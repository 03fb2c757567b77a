import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slugFromPath } from '#src/cli/find-post-files.ts';

describe('slugFromPath', () => {
  it.each([
    ['announcements/mikeal.md', 'announcements-mikeal'],
    ['weekly/weekly-update.2015-03-13.md', 'weekly-weekly-update-2015-03-13'],
    ['release/v6.14.2.md', 'release-v6-14-2'],
    ['community/2025-06-28-Emelia-Smith.md', 'community-2025-06-28-emelia-smith'],
    ['vulnerability/cve-2015-8027_cve-2015-6764.md', 'vulnerability-cve-2015-8027-cve-2015-6764'],
    ['npm/peer-dependencies.mdx', 'npm-peer-dependencies'],
    ['News/Hello, World!.markdown', 'news-hello-world'],
    ['café/Crème brûlée.md', 'cafe-creme-brulee'],
    ['index.md', 'index'],
    ['a--b.md', 'a--b'],
    ['-.md', '-'],
  ])('makes of %j %j', (path, slug) => expect(slugFromPath(path)).toBe(slug));

  it('tells apart paths of letters that a slug has not', () => {
    const slugs = [
      '日本語.md',
      '中文.md',
      '2024/日本語.md',
      '2024/中文.md',
      '2024.md',
      '😀.md',
      'straße.md',
      'strasse.md',
    ].map(slugFromPath);
    expect(new Set(slugs).size).toBe(slugs.length);
    expect(slugs[2]).toMatch(/^2024-[0-9a-f]{8}$/);
    expect(slugs[0]).toMatch(/^[0-9a-f]{8}$/);
  });

  it('is the same for both ways to write an accent, which file systems choose for themselves', () => {
    expect(slugFromPath('日本/e\u0301.md')).toBe(slugFromPath('日本/\u00e9.md'));
  });

  it('cuts a path of more than 200 characters, and tells it from others with the same beginning', () => {
    const [a, b] = ['a', 'b'].map(end => slugFromPath(`${'x'.repeat(120)}/${'y'.repeat(100)}${end}.md`));
    expect(a).toMatch(/^x{120}-[0-9a-f]{8}$/);
    expect(b).not.toBe(a);
    expect(slugFromPath(`${'x'.repeat(200)}.md`)).toBe('x'.repeat(200));
  });

  it('leaves every slug as it is, so that exported files keep theirs', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9-]{1,200}$/), slug => {
        expect(slugFromPath(`${slug}.md`)).toBe(slug);
      }),
    );
  });

  it('makes a slug of any path', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 250 }).map(text => text.replaceAll('/', ''));
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 4 }), names => {
        expect(slugFromPath(`${names.join('/')}.md`)).toMatch(/^[a-z0-9-]{1,200}$/);
      }),
    );
  });
});
