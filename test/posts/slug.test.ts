import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { describe, expect, it } from 'vitest';
import { asciiSlug, chooseSlug, deriveSlug } from '#src/posts/slug.ts';

const title = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 255 }), fc.string({ unit: 'binary', maxLength: 255 }));

describe('deriveSlug', () => {
  it.each([
    ['Hello, World!', 'hello-world'],
    ['Урок 1', 'urok-1'],
    ['Глава 1', 'glava-1'],
    ['Київ', 'kiiv'],
    ['Łódź', 'lodz'],
    ['Straße über Ærø', 'strasse-uber-aero'],
    ['Þór Đặng', 'thor-dang'],
    ['Tiếng Việt có dấu', 'tieng-viet-co-dau'],
    ['e\u0301 é', 'e-e'],
    ['İstanbul ığdır', 'istanbul-igdir'],
    ['Ελληνικά', 'ellinika'],
    ['你好，世界', 'ni-hao-shi-jie'],
    ['日本語のブログ', 'ri-ben-yu-noburogu'],
    ['안녕하세요', 'annyeonghaseyo'],
    ['مرحبا بالعالم', 'mrhb-bllm'],
    ['שלום עולם', 'slvm-vlm'],
    ['हिन्दी', 'hindi'],
    ['ქართული', 'kartuli'],
    ['𝒜ℬ𝒞 Ｆｕｌｌ ﬁne Ⅳ ½', 'abc-full-fine-iv-1-2'],
    ['C++', 'c-plus-plus'],
    ['Modern C++: RAII', 'modern-c-plus-plus-raii'],
    ['C#', 'c-sharp'],
    ['F# and C# 12', 'f-sharp-and-c-sharp-12'],
    ['Issue#5', 'issue-5'],
    ["What's new in l’été", 'whats-new-in-lete'],
    ['🎉 party ☃', 'party'],
    ['☃ 😀 —', ''],
  ])('makes of %j %j', async (text, slug) => expect(await deriveSlug(text)).toBe(slug));

  it('makes a slug, or nothing, of any title', async () => {
    await fc.assert(
      fc.asyncProperty(title, async text => {
        const slug = await deriveSlug(text);
        expect(slug).toMatch(/^([a-z0-9]+(-[a-z0-9]+)*)?$/);
        expect(slug.length).toBeLessThanOrEqual(200);
      }),
    );
  });

  it('makes what it made before of a title of ASCII letters, digits and spaces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[A-Za-z0-9 ,.!?'-]{0,255}$/), async text => {
        expect(await deriveSlug(text)).toBe(asciiSlug(text));
      }),
    );
  });

  it('leaves a slug that it made as it is', async () => {
    await fc.assert(
      fc.asyncProperty(title, async text => {
        const slug = await deriveSlug(text);
        expect(await deriveSlug(slug)).toBe(slug);
      }),
    );
  });
});

describe('chooseSlug', () => {
  it('gives nothing else where the slug was sent', async () => {
    expect(await chooseSlug('mine', 'Title', uuidv7())).toEqual({ slug: 'mine', slugIfTaken: [] });
  });

  it('gives slugs of at most 200 characters, all of them different, and the last one unforeseeable', async () => {
    await fc.assert(
      fc.asyncProperty(title, async text => {
        const id = uuidv7();
        const [one, other] = [await chooseSlug('', text, id), await chooseSlug('', text, id)];
        const slugs = [one.slug, ...one.slugIfTaken];
        for (const slug of slugs) expect(slug).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
        for (const slug of slugs) expect(slug.length).toBeLessThanOrEqual(200);
        expect(new Set(slugs).size).toBe(slugs.length);
        expect(other.slugIfTaken.slice(0, -1)).toEqual(one.slugIfTaken.slice(0, -1));
        expect(other.slugIfTaken.at(-1)).not.toBe(one.slugIfTaken.at(-1));
      }),
    );
  });
});

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
