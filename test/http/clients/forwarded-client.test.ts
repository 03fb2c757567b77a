import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createForwardedClient, type ForwardedField } from '#src/http/clients/forwarded-client.ts';
import { createTrustedProxies } from '#src/http/clients/trusted-proxies.ts';

const PROXY = '10.0.0.1';
const isTrusted = createTrustedProxies(['10.0.0.0/8', '2001:db8:10::/48']) ?? (() => false);

/** The client of a request that came from a trusted proxy with these lines, each a field's name and value. */
function clientOf(lines: readonly (readonly [string, string])[], field?: ForwardedField): string {
  return createForwardedClient(isTrusted, field)(PROXY, lines.flat());
}
const xff = (...lines: readonly string[]) => clientOf(lines.map(line => ['X-Forwarded-For', line]));
const forwarded = (...lines: readonly string[]) => clientOf(lines.map(line => ['forwarded', line]));

describe('X-Forwarded-For from a trusted proxy', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    [' 192.0.2.7 ', '192.0.2.7'],
    ['192.0.2.7:40000', '192.0.2.7'],
    ['2001:DB8::7', '2001:db8::7'],
    ['[2001:db8::7]', '2001:db8::7'],
    ['[2001:db8::7]:40000', '2001:db8::7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['fe80::7%eth0', 'fe80::7'],
    ['192.0.2.7,', '192.0.2.7'],
    [',192.0.2.7, ,', '192.0.2.7'],
  ])('%s names the client', (line, client) => {
    expect(xff(line)).toBe(client);
  });

  it('counts from its end, where the proxy has added what it knows', () => {
    expect(xff('203.0.113.9, 192.0.2.7')).toBe('192.0.2.7');
    expect(xff('203.0.113.9', '192.0.2.7')).toBe('192.0.2.7');
  });

  it('is read on while trusted proxies have written it', () => {
    expect(xff('203.0.113.9, 192.0.2.7, 10.0.0.2')).toBe('192.0.2.7');
    expect(xff('203.0.113.9, 192.0.2.7', '2001:db8:10::2', '10.0.0.2, 10.0.0.3')).toBe('192.0.2.7');
  });

  it('names a trusted proxy where that one calls itself', () => {
    expect(xff('10.0.0.3, 10.0.0.2')).toBe('10.0.0.3');
  });

  it.each(['unknown', '_hidden', 'unix:', 'client.example', '192.0.2.7.8', '192.0.2.256', '"192.0.2.7"', '[::1', ''])(
    'with %j says nothing, and the proxy counts',
    line => {
      expect(xff(line)).toBe(PROXY);
    },
  );

  it('counts up to the first proxy that does not say', () => {
    expect(xff('192.0.2.7, unknown, 10.0.0.2')).toBe('10.0.0.2');
  });
});

describe('Forwarded from a trusted proxy', () => {
  it.each([
    ['for=192.0.2.7', '192.0.2.7'],
    ['For="192.0.2.7:40000"', '192.0.2.7'],
    ['for="[2001:db8::7]"', '2001:db8::7'],
    ['FOR="[2001:DB8::7]:40000"', '2001:db8::7'],
    ['for="[2001:db8::7]:_port"', '2001:db8::7'],
    ['for="\\192.0.2.7"', '192.0.2.7'],
    ['for=2001:db8::7', '2001:db8::7'],
    ['proto=https;for=192.0.2.7;by=203.0.113.43;host="a,b;for=203.0.113.9"', '192.0.2.7'],
    ['for=203.0.113.9, for=192.0.2.7;host="x\\", for=203.0.113.9"', '192.0.2.7'],
    ['for=203.0.113.9,for=192.0.2.7', '192.0.2.7'],
    ['for=192.0.2.7, for=10.0.0.2;by=_lb', '192.0.2.7'],
    ['for=192.0.2.7 ; proto=https', '192.0.2.7'],
    ['for=192.0.2.7;', '192.0.2.7'],
    [', for=192.0.2.7,, ', '192.0.2.7'],
  ])('%s names the client', (line, client) => {
    expect(forwarded(line)).toBe(client);
  });

  it.each([
    'for=unknown',
    'for=_hidden',
    'for="_gazonk"',
    'proto=https',
    'for=192.0.2.7;for=203.0.113.9',
    'for = 192.0.2.7',
    'for="192.0.2.7',
    'for',
    '=',
  ])('with %s says nothing, and the proxy counts', line => {
    expect(forwarded(line)).toBe(PROXY);
  });

  it('is a list over several lines', () => {
    expect(forwarded('for=203.0.113.9', 'for=192.0.2.7, for=10.0.0.3', 'for=10.0.0.2')).toBe('192.0.2.7');
  });
});

describe('what a client itself writes into the fields', () => {
  const evil = fc.oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom('"', '\\', ',', ';', '=', 'for', ' ', '10.0.0.2', '203.0.113.9', '[', ']') }),
  );

  it('never changes whom the proxy names after it, in the same line or in another', () => {
    fc.assert(
      fc.property(evil, text => {
        for (const write of [xff, (...lines: string[]) => forwarded(...lines)]) {
          const own = write === xff ? '192.0.2.7' : 'for="192.0.2.7:40000";proto=https';
          expect(write(`${text}, ${own}`)).toBe('192.0.2.7');
          expect(write(text, own)).toBe('192.0.2.7');
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('gives an address at most, whatever it is', () => {
    fc.assert(
      fc.property(evil, text => {
        expect(xff(text)).toMatch(/^[\da-f:.]+$/);
        expect(forwarded(text)).toMatch(/^[\da-f:.]+$/);
      }),
    );
  });
});

describe('a request with both fields', () => {
  const both = [
    ['Forwarded', 'for=203.0.113.9'],
    ['X-Forwarded-For', '192.0.2.7'],
  ] as const;

  it('counts by X-Forwarded-For', () => {
    expect(clientOf(both)).toBe('192.0.2.7');
  });

  it('counts by the one that the setting names, also where it is missing', () => {
    expect(clientOf(both, 'forwarded')).toBe('203.0.113.9');
    expect(clientOf(both.slice(0, 1), 'x-forwarded-for')).toBe(PROXY);
    expect(clientOf(both.slice(1), 'forwarded')).toBe(PROXY);
  });
});
