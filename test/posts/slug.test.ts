import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asciiSlug } from '#src/posts/slug.ts';

describe('asciiSlug', () => {
  it.each([
    ['Hello, World!', 'hello-world'],
    ['  Node.js 20.0.0 (Current)  ', 'node-js-20-0-0-current'],
    ['Crème brûlée', 'creme-brulee'],
    ["What's new", 'whats-new'],
    ['ﬁne Ⅳ', 'fine-iv'],
    ['---', ''],
    ['你好', ''],
    ['😀', ''],
  ])('makes of %j %j', (title, slug) => expect(asciiSlug(title)).toBe(slug));

  it('makes a slug, or nothing, of any title', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), title => {
        expect(asciiSlug(title)).toMatch(/^([a-z0-9]+(-[a-z0-9]+)*)?$/);
        expect(asciiSlug(title).length).toBeLessThanOrEqual(200);
      }),
    );
  });

  it('leaves a slug that it made as it is', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), title => {
        expect(asciiSlug(asciiSlug(title))).toBe(asciiSlug(title));
      }),
    );
  });

  it('cuts a long title between words', () => {
    expect(asciiSlug(`${'word '.repeat(39)}${'x'.repeat(50)}`)).toBe('word-'.repeat(39).slice(0, -1));
  });

  it('cuts a word that is longer than a slug', () => {
    expect(asciiSlug('x'.repeat(300))).toBe('x'.repeat(200));
  });
});
