import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PostSchema } from '#gen/blog/v1/post_pb.js';
import { formatPostFile, POST_FILE_MAX_BYTES, parsePostFile } from '#src/cli/post-file.ts';

describe('formatPostFile', () => {
  it('writes what a person would, with the content behind it as it is', () => {
    const publishTime = timestampFromDate(new Date('2025-06-20T15:00:00.120Z'));
    const post = create(PostSchema, {
      title: 'A: b',
      author: 'Ada',
      tags: ['x', '1'],
      content: '\nText\r\n',
      publishTime,
    });
    expect(formatPostFile(post)).toBe(
      '---\ntitle: "A: b"\nauthor: "Ada"\ntags:\n  - "x"\n  - "1"\ndate: "2025-06-20T15:00:00.120Z"\n---\n\nText\r\n',
    );
  });

  it('leaves out what a post has not', () => {
    expect(formatPostFile(create(PostSchema, { title: 'T' }))).toBe('---\ntitle: "T"\n---\n');
  });

  it('writes what parsePostFile reads back to an equal post, for any post', () => {
    fc.assert(
      fc.property(anyPost, post => {
        expect(parsePostFile(Buffer.from(formatPostFile(post)))).toEqual(post);
      }),
      { numRuns: 500 },
    );
  });

  it('never writes a file that is too large to read', () => {
    const worst = '\u0001';
    const largest = create(PostSchema, {
      title: worst.repeat(255),
      author: worst.repeat(255),
      tags: Array.from({ length: 32 }, (_, index) => worst.repeat(63) + String.fromCodePoint(0x80 + index)),
      content: 'x'.repeat(1024 * 1024),
      publishTime: timestampFromDate(new Date('2025-06-20T15:00:00.120Z')),
    });
    const file = Buffer.from(formatPostFile(largest));
    expect(file.length).toBeLessThanOrEqual(POST_FILE_MAX_BYTES);
    expect(parsePostFile(file)).toEqual(largest);
  });
});

/** What YAML might take for something else, or a careless writer break on. */
const TRICKY = [
  ...[
    '1',
    '1.10',
    '0x1F',
    '007',
    '1e3',
    '.nan',
    '-.inf',
    'true',
    'No',
    'null',
    '~',
    '2024-01-02',
    '2024-01-02T03:04:05Z',
    '12:30:45',
  ],
  ...[
    '---',
    '+++',
    '\n---\n',
    'a: b',
    'a #b',
    '# a',
    '- a',
    '[a',
    '{a}',
    '*a',
    '&a',
    '!a',
    '|',
    '>',
    '%a',
    '@a',
    '`a`',
    '"a"',
    "'a'",
  ],
  ...[
    ' a ',
    '\ta',
    'a\n',
    '\r\n',
    'a\u2028b',
    '\u0085',
    '\uFEFF',
    '\uFFFF',
    '👩‍👩‍👧‍👦',
    '\\n',
    '\\',
    '__proto__',
    '<<',
    ',',
  ],
];
const text = (maxLength: number) =>
  fc
    .oneof(
      fc.string({ unit: 'binary', maxLength }),
      fc.string({ unit: 'grapheme', maxLength: 8 }),
      fc.constantFrom(...TRICKY),
    )
    .map(value => [...value.replaceAll('\0', '')].slice(0, maxLength).join(''));
const notEmpty = (maxLength: number) => text(maxLength).filter(value => value !== '');
const time = fc.oneof(
  fc.date({
    min: new Date('0001-01-01T00:00:00.000Z'),
    max: new Date('9999-12-31T23:59:59.999Z'),
    noInvalidDate: true,
  }),
  fc
    .constantFrom('0001-01-01T00:00:00.000Z', '9999-12-31T23:59:59.999Z', '1969-12-31T23:59:59.999Z')
    .map(iso => new Date(iso)),
);
const anyPost = fc
  .record({
    title: notEmpty(255),
    content: text(2000),
    author: text(255),
    tags: fc.uniqueArray(notEmpty(64), { maxLength: 32 }),
    date: fc.option(time, { nil: undefined }),
  })
  .map(({ date, ...fields }) =>
    create(PostSchema, { ...fields, ...(date && { publishTime: timestampFromDate(date) }) }),
  );
