import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRONT_MATTER_MAX_LENGTH, formatFrontMatter, parseFrontMatter } from '#src/cli/front-matter.ts';

const dataOf = (text: string) => Object.fromEntries(parseFrontMatter(text).data);
const contentOf = (text: string) => parseFrontMatter(text).content;

describe('parseFrontMatter', () => {
  it('reads YAML between two lines ---', () => {
    expect(dataOf("---\ntitle: 'A: b'\ntags:\n  - x\n  - y\n---\nText\n")).toEqual({ title: 'A: b', tags: ['x', 'y'] });
  });

  it('reads TOML between two lines +++', () => {
    expect(dataOf('+++\ntitle = "A"\ntags = ["x"]\n[extra]\nn = 1\n+++\nText')).toEqual({
      title: 'A',
      tags: ['x'],
      extra: { n: 1 },
    });
  });

  it('leaves YAML numbers and booleans as they were written', () => {
    expect(dataOf('---\na: 1.10\nb: [007, 0x1F, yes, True]\nc: 2024-01-02\nd: .nan\n---\n')).toEqual({
      a: '1.10',
      b: ['007', '0x1F', 'yes', 'True'],
      c: '2024-01-02',
      d: '.nan',
    });
  });

  it('reads YAML nulls as null, and quoted ones as text', () => {
    expect(dataOf("---\na:\nb: ~\nc: null\nd: 'null'\n---\n")).toEqual({ a: null, b: null, c: null, d: 'null' });
  });

  it('reads empty front matter as no keys', () => {
    expect(dataOf('---\n---\nText')).toEqual({});
    expect(dataOf('---\n# nothing\n---\nText')).toEqual({});
    expect(dataOf('+++\n+++\nText')).toEqual({});
  });

  it.each([
    ['the blank line after the fence', '\nText\n'],
    ['many blank lines', '\n\n\n  Text'],
    ['no line break at the end', 'Text'],
    ['CRLF', '\r\nText\r\n'],
    ['a lone CR', 'a\rb'],
    ['a fence of its own', '---\ntitle: no\n---\n'],
    ['the other fence', '+++\n'],
    ['a byte order mark', '\uFEFFText'],
    ['a line separator and a fence', 'a\u2028---\n'],
    ['nothing', ''],
  ])('keeps content as it is: %s', (_what, content) => {
    expect(contentOf(`---\ntitle: T\n---\n${content}`)).toBe(content);
    expect(contentOf(`+++\r\ntitle = "T"\r\n+++\r\n${content}`)).toBe(content);
  });

  it('takes fences with CRLF or spaces behind them, and a closing one at the end of the file', () => {
    expect(parseFrontMatter('--- \r\ntitle: T\r\n---\t\r\nText')).toEqual({
      data: new Map([['title', 'T']]),
      content: 'Text',
    });
    expect(contentOf('---\ntitle: T\n---')).toBe('');
  });

  it('does not close at a line that only begins with a fence', () => {
    expect(dataOf('---\n----: x\n---a: y\n---\n')).toEqual({ '----': 'x', '---a': 'y' });
  });

  it.each([
    ['no front matter', '# Title\n', /^front matter: is missing: the first line/],
    ['an empty file', '', /^front matter: is missing/],
    ['a fence that is indented', ' ---\ntitle: T\n---\n', /^front matter: is missing/],
    ['no closing fence', '---\ntitle: T\nText\n', /^front matter: is opened by --- on line 1 and never closed$/],
    ['the wrong closing fence', '+++\ntitle = "T"\n---\n', /opened by \+\+\+ on line 1 and never closed$/],
    [
      'a colon without quotes',
      '---\na: 1\ntitle: a: b\n---\n',
      /not valid YAML, line 3: nested mappings.*needs quotes\)$/,
    ],
    ['a tab as indentation', '---\ntags:\n\t- b\n---\n', /^front matter: is not valid YAML, line 3: tabs/],
    ['a key twice', '---\na: 1\na: 2\n---\n', /^front matter: is not valid YAML, line 3: map keys must be unique$/],
    ['an alias to nothing', '---\na: *b\n---\n', /^front matter: is not valid YAML: unresolved alias/],
    ['a list', '---\n- a\n---\n', /^front matter: is not made of "key: value" lines$/],
    ['a text', '---\nhello\n---\n', /^front matter: is not made of "key: value" lines$/],
    ['a second YAML document', '---\na: 1\n...\nb: 2\n---\n', /^front matter: has more than one YAML document in it$/],
    ['bad TOML', '+++\na = 1\nb = \n+++\n', /^front matter: is not valid TOML, line 3: invalid value$/],
    ['a TOML key twice', '+++\na = 1\na = 2\n+++\n', /^front matter: is not valid TOML, line 3: /],
    ['a TOML date that is none', '+++\na = 2024-13-01\n+++\n', /^front matter: is not valid TOML, line 2: /],
  ])('says what is wrong with %s', (_what, text, reason) => {
    expect(() => parseFrontMatter(text)).toThrow(
      expect.objectContaining({ name: 'PostFileError', message: expect.stringMatching(reason) }),
    );
  });

  it.each([
    ['YAML', `---\na: ${'['.repeat(30_000)}\n---\n`],
    ['YAML, balanced', `---\na: ${'['.repeat(16_000)}${']'.repeat(16_000)}\n---\n`],
    ['TOML', `+++\na = ${'['.repeat(30_000)}\n+++\n`],
  ])('refuses deep nesting: %s', (_what, text) => {
    expect(() => parseFrontMatter(text)).toThrow(
      expect.objectContaining({ name: 'PostFileError', message: expect.stringMatching(/nested/) }),
    );
  });

  it('refuses aliases that multiply', () => {
    const lines = [...'bcdefghij'].map((key, index) => `${key}: &${key} [${Array(9).fill(`*${'abcdefghi'[index]}`)}]`);
    const bomb = `---\na: &a [x,x,x,x,x,x,x,x,x]\n${lines.join('\n')}\n---\n`;
    expect(() => parseFrontMatter(bomb)).toThrow(/^front matter: is not valid YAML: excessive alias count/);
  });

  it('reads or refuses any text, and never fails in another way', () => {
    const chars = fc.string({ unit: fc.constantFrom(...'ab:-?,[]{}#&*!|>\'"%@` \n\r\t~<=.0123'), maxLength: 60 });
    const tokens = [
      'a: ',
      '- ',
      '&x ',
      '*x',
      '? ',
      '<<: ',
      '!!binary ',
      '!!set ',
      '!!omap ',
      '!t ',
      '|\n',
      '{',
      '}',
      '[',
      ']',
    ];
    const more = [
      '\n',
      ' ',
      '"',
      '__proto__',
      '[x]',
      '[[y]]',
      '= ',
      "'",
      '1e9',
      '.inf',
      '07:00:00',
      '1979-05-27',
      '...\n',
    ];
    const words = fc.array(fc.constantFrom(...tokens, ...more)).map(parts => parts.join(''));
    const anyText = fc.oneof(chars, words, fc.string({ unit: 'binary' }));
    fc.assert(
      fc.property(fc.constantFrom('---', '+++'), anyText, (fence, text) => {
        try {
          expect(parseFrontMatter(`${fence}\n${text}\n${fence}\n`).data).toBeInstanceOf(Map);
        } catch (error) {
          expect(error).toMatchObject({ name: 'PostFileError', message: expect.stringMatching(/^front matter: /) });
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('refuses front matter that is too long', () => {
    const of = (length: number) => `---\n${`#${'x'.repeat(length - 2)}\n`}---\n`;
    expect(parseFrontMatter(of(FRONT_MATTER_MAX_LENGTH)).content).toBe('');
    expect(() => parseFrontMatter(of(FRONT_MATTER_MAX_LENGTH + 1))).toThrow(
      'front matter: has 32769 characters; it may have 32768',
    );
  });

  it.each(['---\n__proto__:\n  title: x\n---\n', '+++\n[__proto__]\ntitle = "x"\n+++\n'])(
    'pollutes no prototype: %j',
    text => {
      const { data } = parseFrontMatter(text);
      expect(data.get('title')).toBeUndefined();
      expect(({} as Record<string, unknown>).title).toBeUndefined();
      expect([...data.keys()]).toEqual(['__proto__']);
    },
  );
});

describe('formatFrontMatter', () => {
  it('quotes every text', () => {
    expect(formatFrontMatter({ title: 'It\'s "A": b # c', tags: ['1', 'true'] }, '\nText')).toBe(
      '---\ntitle: "It\'s \\"A\\": b # c"\ntags:\n  - "1"\n  - "true"\n---\n\nText',
    );
  });

  it('escapes what some YAML readers take for a line break or refuse', () => {
    expect(formatFrontMatter({ title: 'a\u0085b\u2028c\ufeffd\u007fe\nf\u0000' }, '')).toBe(
      '---\ntitle: "a\\u0085b\\u2028c\\ufeffd\\u007fe\\nf\\u0000"\n---\n',
    );
  });

  it('writes what parseFrontMatter reads back, whatever the texts', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom(...'-+:#\'"\\&*!|>%@`[]{}, \t\r\n~0x1eE.é😀\u2028') }),
    );
    fc.assert(
      fc.property(text, fc.array(text, { minLength: 1 }), text, (title, tags, content) => {
        const parsed = parseFrontMatter(formatFrontMatter({ title, tags }, content));
        expect(Object.fromEntries(parsed.data)).toEqual({ title, tags });
        expect(parsed.content).toBe(content);
      }),
    );
  });
});
