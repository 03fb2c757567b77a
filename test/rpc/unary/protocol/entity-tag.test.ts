import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matches } from '#src/rpc/unary/protocol/connect-call.ts';

const ETAG = '"abc-1"';

describe('matches', () => {
  it.each([
    ['the tag itself', ETAG],
    ['the tag, made weak by a cache', `W/${ETAG}`],
    ['any', '*'],
    ['a list that begins with it', `${ETAG}, "x"`],
    ['a list that ends with it, weak', `"x",W/"y",  W/${ETAG}`],
    ['a list with empty elements', `, ,${ETAG},`],
  ])('says yes to %s', (_, field) => {
    expect(matches(field, ETAG)).toBe(true);
  });

  it.each([
    ['another tag', '"abc-2"'],
    ['the tag without its quotes', 'abc-1'],
    ['a tag that begins alike', '"abc-1x"'],
    ['a weak mark in lower case, which is none', `w/${ETAG}`],
    ['two weak marks', `W/W/${ETAG}`],
    ['a star in quotes', '"*"'],
    ['nothing', ''],
  ])('says no to %s', (_, field) => {
    expect(matches(field, ETAG)).toBe(false);
  });

  it('finds the tag in any list that has it, and in no other', () => {
    const tag = fc.base64String({ maxLength: 8 }).map(text => `"${text}"`);
    const element = fc.tuple(fc.constantFrom('', 'W/'), tag, fc.constantFrom('', ' ', '\t'));
    fc.assert(
      fc.property(fc.array(element, { maxLength: 5 }), tag, (list, etag) => {
        const field = list.map(([weak, one, space]) => space + weak + one + space).join(',');
        expect(matches(field, etag)).toBe(list.some(([, one]) => one === etag));
      }),
    );
  });
});
