import { gunzipSync } from 'node:zlib';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Compressor, createCompressor } from '#src/wire/compressor.ts';
import { EncodedMessage } from '#src/wire/encoded-message.ts';

const LARGE = 'some text '.repeat(4000);
const message = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map(bytes => ({ given: bytes, bytes: Buffer.from(bytes) })),
  fc.string({ unit: 'binary' }).map(text => ({ given: text, bytes: Buffer.from(text) })),
);

describe('EncodedMessage', () => {
  it('has the bytes, the text and the envelope of what it is given, in whatever order they are asked for', () => {
    const parts = fc.shuffledSubarray(['bytes', 'text', 'envelope', 'etag'] as const, { minLength: 4 });
    fc.assert(
      fc.property(message, parts, fc.boolean(), ({ given, bytes }, order, lasting) => {
        const encoded = new EncodedMessage(given, { lasting });
        expect(encoded.length).toBe(bytes.length);
        for (const part of order) void encoded[part];
        expect(encoded.bytes).toEqual(bytes);
        expect(encoded.text).toBe(bytes.toString('latin1'));
        expect(encoded.envelope).toEqual(Buffer.from(encodeEnvelope(0, bytes)));
        expect(encoded.etag).toBe(new EncodedMessage(bytes).etag);
      }),
    );
  });

  it('has an entity tag of its own for other bytes', () => {
    const etags = ['', 'a', 'b', 'ab', 'é'].map(text => new EncodedMessage(text).etag);
    expect(new Set(etags).size).toBe(etags.length);
    for (const etag of etags) expect(etag).toMatch(/^"[\w-]+"$/);
  });

  it('has memory of its own where it lasts', () => {
    const { envelope } = new EncodedMessage(Buffer.from('abc'), { lasting: true });
    expect(envelope.buffer.byteLength).toBe(envelope.length);
  });

  it('is compressed once for each encoding, however many ask at once and later', async () => {
    const { compressor, counts } = counted(2);
    const encoded = new EncodedMessage(LARGE);
    const all = await Promise.all(Array.from({ length: 10 }, () => encoded.compressed('gzip', compressor)));
    all.push(await encoded.compressed('gzip', compressor));
    expect(new Set(all).size).toBe(1);
    await encoded.compressed('br', compressor);
    expect(counts).toEqual({ gzip: 1, br: 1 });
    expect(gunzipSync(all[0]?.bytes as Buffer).toString()).toBe(LARGE);
    expect(all[0]?.envelope[0]).toBe(1);
    expect(all[0]?.etag).not.toBe(encoded.etag);
  });

  it('is compressed later where there was no room, and not again where nothing is gained', async () => {
    const { compressor, counts } = counted(1);
    const encoded = new EncodedMessage(LARGE);
    const busy = compressor.compress('br', Buffer.from(LARGE));
    expect(await encoded.compressed('gzip', compressor)).toBeUndefined();
    await busy;
    expect(await encoded.compressed('gzip', compressor)).toBeDefined();
    const tiny = new EncodedMessage('a');
    for (let i = 0; i < 3; i++) expect(await tiny.compressed('gzip', compressor)).toBeUndefined();
    expect(counts).toEqual({ gzip: 3, br: 1 });
  });
});

function counted(concurrency: number) {
  const real = createCompressor({ minBytes: 0, concurrency });
  const counts: Record<string, number> = {};
  const compressor: Compressor = {
    ...real,
    compress: (name, bytes) => {
      counts[name] = (counts[name] ?? 0) + 1;
      return real.compress(name, bytes);
    },
  };
  return { compressor, counts };
}
