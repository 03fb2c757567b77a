import { readdir, readFile } from 'node:fs/promises';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { parsePostFile } from '#src/cli/post-file.ts';

const parse = (text: string) => parsePostFile(Buffer.from(text));
/** A file with this YAML under a title. */
const withYaml = (yaml: string) => parse(`---\ntitle: T\n${yaml}\n---\n`);
const dateOf = (yaml: string) => {
  const { publishTime } = withYaml(yaml);
  return publishTime && timestampDate(publishTime).toISOString();
};
const reasonOf = (bytes: string | Uint8Array): string => {
  try {
    parsePostFile(Buffer.from(bytes));
  } catch (error) {
    if (error instanceof Error && error.name === 'PostFileError') return error.message;
    throw error;
  }
  return 'none';
};

describe('parsePostFile', () => {
  it('reads a post out of YAML', () => {
    const post = parse(`---
date: '2025-06-20T15:00:00.123Z'
category: announcements
title: 'In Memory: "X"'
layout: blog-post
author: Robin
tags: [people, openjs]
---

Text
`);
    expect(post).toMatchObject({
      title: 'In Memory: "X"',
      author: 'Robin',
      tags: ['people', 'openjs', 'announcements'],
      content: '\nText\n',
    });
    expect(post.publishTime && timestampDate(post.publishTime).toISOString()).toBe('2025-06-20T15:00:00.123Z');
    expect(post.slug).toBe('');
  });

  it('reads a post out of TOML', () => {
    const post = parse(
      '+++\ntitle = "T"\nauthors = ["A", "B"]\ntags = ["x", 2024]\ndate = 1979-05-27T00:32:00-07:00\n+++\nText',
    );
    expect(post).toMatchObject({ title: 'T', author: 'A, B', tags: ['x', '2024'], content: 'Text' });
    expect(post.publishTime && timestampDate(post.publishTime).toISOString()).toBe('1979-05-27T07:32:00.000Z');
  });

  it('takes a text with commas for several tags, and a list for what it is', () => {
    expect(withYaml('tags: a, b c ,d').tags).toEqual(['a', 'b c', 'd']);
    expect(withYaml('tags: ["a, b", " c "]').tags).toEqual(['a, b', ' c ']);
  });

  it('adds the category behind the tags, once', () => {
    expect(withYaml('category: b\ncategories: [c]\ntags: [a, b]').tags).toEqual(['a', 'b', 'c']);
  });

  it('passes over empty and repeated tags', () => {
    expect(withYaml('tags: [a, "", ~, a]').tags).toEqual(['a']);
    expect(withYaml('tags:\ncategory: ""').tags).toEqual([]);
  });

  it('takes what looks like a number, a boolean or a date for text', () => {
    expect(parse('---\ntitle: 1.10\nauthor: true\ntags: [2024, 1e3, no, 2024-01-02]\n---\n')).toMatchObject({
      title: '1.10',
      author: 'true',
      tags: ['2024', '1e3', 'no', '2024-01-02'],
    });
  });

  it('makes a draft of what has no date, or is marked as a draft', () => {
    expect(dateOf('author: x')).toBeUndefined();
    expect(dateOf('date:')).toBeUndefined();
    expect(dateOf('date: 2025-01-02\ndraft: true')).toBeUndefined();
    expect(dateOf('date: 2025-01-02\ndraft: false')).toBe('2025-01-02T00:00:00.000Z');
    expect(parse('+++\ntitle = "T"\ndate = 2025-01-02\ndraft = true\n+++\n').publishTime).toBeUndefined();
  });

  it('drops a byte order mark at the start of the file, and no other', () => {
    expect(parse('\uFEFF---\ntitle: T\n---\n\uFEFFText').content).toBe('\uFEFFText');
  });

  it('takes content of exactly 1 MiB', () => {
    expect(parse(`---\ntitle: T\n---\n${'é'.repeat(512 * 1024)}`).content).toHaveLength(512 * 1024);
  });

  it.each([
    ['no title', '---\nauthor: A\n---\n', /^title: is missing$/],
    ['an empty title', '---\ntitle: ""\n---\n', /^title: is missing$/],
    ['a title that is null', '---\ntitle: ~\n---\n', /^title: is missing$/],
    ['a title that is a list', '---\ntitle: [a]\n---\n', /^title: must be a string, not a list$/],
    ['a title that is a map', '---\ntitle: {a: b}\n---\n', /^title: must be a string, not another type$/],
    ['a title that is too long', `---\ntitle: ${'é'.repeat(256)}\n---\n`, /^title: .*255 characters$/],
    ['an author that is too long', `---\ntitle: T\nauthor: ${'a'.repeat(256)}\n---\n`, /^author: .*255 characters$/],
    [
      'an author that is a map',
      '---\ntitle: T\nauthor: {name: A}\n---\n',
      /^author: must be a string, not another type/,
    ],
    ['a tag that is too long', `---\ntitle: T\ntags: [a, ${'b'.repeat(65)}]\n---\n`, /^tags\[1\]: .*64 characters$/],
    ['a tag that is a list', '---\ntitle: T\ntags: [[a]]\n---\n', /^tags: must be a string, not a list$/],
    ['too many tags', `---\ntitle: T\ntags: [${Array.from({ length: 33 }, (_, i) => i)}]\n---\n`, /^tags: .*32 item/],
    [
      'a date that is none',
      '---\ntitle: T\ndate: March 5\n---\n',
      /^date: "March 5" must be a date such as 2025-06-20 or/,
    ],
    ['a time without a day', '+++\ntitle = "T"\ndate = 07:32:00\n+++\n', /^date: that must be a date such as/],
    ['a draft that is neither', '---\ntitle: T\ndraft: maybe\n---\n', /^draft: must be true or false$/],
    ['content that is too large', `---\ntitle: T\n---\n${'é'.repeat(512 * 1024)}x`, /^content: .*1048576 bytes$/],
    ['U+0000 in the content', '---\ntitle: T\n---\na\0b', /^content: has the character U\+0000 in it$/],
    ['U+0000 in the title', '---\ntitle: "a\\0b"\n---\n', /^title: has the character U\+0000 in it$/],
    ['several faults', '---\ndate: x\ntags: {}\n---\n', /^date: .*; tags: .*; title: is missing$/],
  ])('names the field and the reason: %s', (_what, text, reason) => expect(reasonOf(text)).toMatch(reason));

  it.each([
    ['latin-1', Buffer.from('---\ntitle: T\n---\nok\ncaf\xe9\n', 'latin1'), 'file: is not UTF-8, line 5'],
    ['a cut character', Buffer.from('---\ntitle: T\n---\n\u00e9').subarray(0, -1), 'file: is not UTF-8, line 4'],
    ['an overlong form', Buffer.from([0x2d, 0x0a, 0xc0, 0x80]), 'file: is not UTF-8, line 2'],
    ['half of a surrogate pair', Buffer.from([0xed, 0xa0, 0x80]), 'file: is not UTF-8, line 1'],
    ['UTF-16', Buffer.from('\uFEFF---\n', 'utf16le'), 'file: is UTF-16; save it as UTF-8'],
  ])('refuses %s', (_what, bytes, reason) => expect(reasonOf(bytes)).toBe(reason));

  it('reads what people wrote: every file of the Node.js blog in the fixtures', async () => {
    const folder = new URL('../fixtures/posts/', import.meta.url);
    const names = (await readdir(folder, { recursive: true })).filter(name => /\.mdx?$/.test(name));
    const posts = await Promise.all(names.map(async name => parsePostFile(await readFile(new URL(name, folder)))));
    expect(posts).toHaveLength(21);
    expect(posts.filter(post => post.publishTime === undefined).map(post => post.title)).toEqual(['Blog']);
    expect(posts.filter(post => post.tags.length !== 1).map(post => post.tags)).toHaveLength(3);
  });
});
