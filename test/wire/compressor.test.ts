import { randomBytes } from 'node:crypto';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCompressor } from '#src/wire/compressor.ts';

/** Above what is compressed in the same tick. */
const LARGE = Buffer.from('some text '.repeat(4000));
const INFLATE: Readonly<Record<string, (bytes: Uint8Array) => Buffer>> = {
  gzip: gunzipSync,
  br: brotliDecompressSync,
};

describe('negotiate', () => {
  const { negotiate } = createCompressor({ minBytes: 0, concurrency: 1 });

  it.each([
    [undefined, undefined],
    ['', undefined],
    ['identity', undefined],
    ['zstd', undefined],
    ['*', undefined],
    ['gzip', 'gzip'],
    ['br', 'br'],
    ['GZip', 'gzip'],
    ['gzip, deflate, br', 'gzip'],
    ['br,gzip', 'br'],
    ['zstd, br', 'br'],
    ['gzip;q=0, br', 'br'],
    ['gzip;q=0.000', undefined],
    ['gzip ; Q=0', undefined],
    ['gzip;q=0.001', 'gzip'],
    ['gzip;level=1;q=0', undefined],
    ['constructor', undefined],
    ['__proto__', undefined],
  ])('of %j is %s', (accepted, name) => {
    for (let again = 0; again < 2; again++) expect(negotiate(accepted)).toBe(name);
  });

  it('gives the same after many others, and for any text nothing but what that has', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('gzip', 'br', ',', ';', 'q=0', 'q=1', ' ', 'x') }), accepted => {
        const name = negotiate(accepted);
        expect(negotiate(accepted)).toBe(name);
        if (name !== undefined) expect(accepted).toContain(name);
      }),
      { numRuns: 300 },
    );
    expect(negotiate('zstd, br')).toBe('br');
  });
});

describe('compress', () => {
  it.each(['gzip', 'br'])('makes %s of bytes of any length, which is the same inflated', async name => {
    const { compress } = createCompressor({ minBytes: 0, concurrency: 1 });
    for (const length of [1, 500, 16_384, 16_385, LARGE.length]) {
      const bytes = LARGE.subarray(0, length);
      const compressed = (await compress(name, bytes)) as Uint8Array;
      expect(compressed.length).toBeLessThanOrEqual(length);
      expect(compressed === bytes ? bytes : INFLATE[name]?.(compressed)).toEqual(bytes);
    }
  });

  it.each(['gzip', 'br'])('gives the bytes back where %s gains nothing', async name => {
    const { compress } = createCompressor({ minBytes: 0, concurrency: 1 });
    const bytes = randomBytes(1000);
    expect(await compress(name, bytes)).toBe(bytes);
  });

  it('takes as many at once as it may, and again when one is done', async () => {
    const { compress } = createCompressor({ minBytes: 0, concurrency: 2 });
    const running = [compress('gzip', LARGE), compress('br', LARGE)];
    expect(await compress('gzip', LARGE)).toBeUndefined();
    expect((await Promise.all(running)).every(bytes => bytes !== undefined)).toBe(true);
    expect(await compress('gzip', LARGE)).toBeDefined();
  });

  it('has nothing for an encoding that it does not know', async () => {
    const { compress } = createCompressor({ minBytes: 0, concurrency: 1 });
    expect(await compress('zstd', LARGE)).toBeUndefined();
    expect(await compress('toString', LARGE)).toBeUndefined();
  });
});
