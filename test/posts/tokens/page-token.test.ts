import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import { PageTokens } from '#src/posts/tokens/page-token.ts';

const tokens = new PageTokens('a secret of thirty-two characters');

const cursors = fc.record({
  time: fc.option(fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), {
    nil: undefined,
  }),
  id: fc.uuid(),
});

const text = fc.option(fc.string({ minLength: 1 }), { nil: undefined });
const lists = fc.record({
  author: text,
  tag: text,
  state: fc.constantFrom(undefined, 'draft', 'scheduled', 'published'),
  showDeleted: fc.boolean(),
  order: fc.record({
    by: fc.constantFrom('createTime', 'updateTime', 'publishTime'),
    descending: fc.boolean(),
  }),
});

describe('PageTokens', () => {
  it('give back the place that they were made for', () => {
    fc.assert(
      fc.property(cursors, lists, (cursor, list) => {
        expect(tokens.open(tokens.seal(cursor, list), list)).toEqual(cursor);
      }),
    );
  });

  it('are safe in a URL, and short', () => {
    fc.assert(
      fc.property(cursors, lists, (c, l) => {
        expect(tokens.seal(c, l)).toMatch(/^[\w-]{60,80}$/);
      }),
    );
  });

  it('are good on every instance with the same secret', () => {
    const other = new PageTokens('a secret of thirty-two characters');
    fc.assert(
      fc.property(cursors, lists, (c, l) => {
        expect(other.open(tokens.seal(c, l), l)).toEqual(c);
      }),
    );
  });

  it('are refused with another secret', () => {
    const other = new PageTokens('another secret of 32 characters!!');
    fc.assert(
      fc.property(cursors, lists, (c, l) => {
        refused(() => other.open(tokens.seal(c, l), l));
      }),
    );
  });

  it('are refused for another list', () => {
    fc.assert(
      fc.property(cursors, lists, lists, (cursor, list, other) => {
        fc.pre(JSON.stringify(list) !== JSON.stringify(other));
        refused(() => tokens.open(tokens.seal(cursor, list), other));
      }),
    );
  });

  it('are refused when any one character is another', () => {
    fc.assert(
      fc.property(cursors, lists, fc.nat(), fc.constantFrom(...'Aaz09-_=+/ '), (cursor, list, at, character) => {
        const token = tokens.seal(cursor, list);
        const place = at % token.length;
        const altered = token.slice(0, place) + character + token.slice(place + 1);
        fc.pre(altered !== token);
        refused(() => tokens.open(altered, list));
      }),
    );
  });

  it('are refused when they are cut, padded or made up', () => {
    fc.assert(
      fc.property(cursors, lists, fc.string(), fc.nat(100), (cursor, list, junk, length) => {
        const token = tokens.seal(cursor, list);
        refused(() => tokens.open(junk, list));
        if (length < token.length) refused(() => tokens.open(token.slice(0, length), list));
        refused(() => tokens.open(`${token}=`, list));
      }),
    );
  });

  it('never repeat, so that they tell nothing of the place', () => {
    const [cursor] = fc.sample(cursors, 1);
    const [list] = fc.sample(lists, 1);
    if (cursor === undefined || list === undefined) throw new Error('nothing was sampled');
    expect(tokens.seal(cursor, list)).not.toBe(tokens.seal(cursor, list));
  });
});

function refused(open: () => unknown): void {
  expect(open).toThrow(expect.objectContaining({ name: InvalidArgumentError.name, reason: 'INVALID_PAGE_TOKEN' }));
}
