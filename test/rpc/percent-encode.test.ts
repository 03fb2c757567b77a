import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { percentEncode, withoutNeedlessEscapes } from '#src/rpc/percent-encode.ts';

const text = fc.string({ unit: 'binary', maxLength: 30 });

describe('percentEncode', () => {
  it('leaves printable ASCII but the percent sign, and escapes every other byte, as gRPC over HTTP/2 has it', () => {
    fc.assert(fc.property(text, message => void expect(percentEncode(message)).toBe(bySpecification(message))));
    const ascii = String.fromCharCode(...Array.from({ length: 128 }, (_, code) => code));
    expect(percentEncode(ascii)).toBe(bySpecification(ascii));
  });

  it('has U+FFFD for half of a surrogate pair', () => {
    expect(percentEncode('a\ud83d')).toBe('a%EF%BF%BD');
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '%', '\ud83d', '\ude00') }), message => {
        expect(decodeURIComponent(percentEncode(message))).toBe(message.toWellFormed());
      }),
    );
  });
});

describe('withoutNeedlessEscapes', () => {
  it('makes the same of what encodeURIComponent has escaped', () => {
    fc.assert(
      fc.property(text, message => {
        expect(withoutNeedlessEscapes(encodeURIComponent(message))).toBe(bySpecification(message));
      }),
    );
  });
});

/** "Percent-Byte-Unencoded → 1*( %x20-%x24 / %x26-%x7E )", all others as `%` and two digits (gRPC over HTTP/2, Responses). */
function bySpecification(message: string): string {
  return [...Buffer.from(message)]
    .map(byte =>
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
}
