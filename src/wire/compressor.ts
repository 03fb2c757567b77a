import { once } from 'node:events';
import type { Transform } from 'node:stream';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { contentCodingOf } from '#src/wire/content-coding.ts';

/** Compresses responses, a few at a time. */
export interface Compressor {
  /** Smaller messages are sent uncompressed. */
  readonly minBytes: number;
  /**
   * The encoding of an answer: the first that the client accepts (RFC 9110, 12.5.3) and we have; undefined: none. A quality of 0 means not
   * accepted. Other qualities do not count, as in connect-node.
   *
   * @param accepted the field Accept-Encoding or its equivalent.
   */
  readonly negotiate: (accepted: string | undefined) => string | undefined;
  /** @returns the same bytes if compression gains nothing; undefined if too many compressions run. */
  readonly compress: (name: string, bytes: Uint8Array) => Promise<Uint8Array | undefined>;
  /**
   * The same for pieces. Each is used up before the next one is requested.
   *
   * @param length of all pieces.
   */
  readonly compressPieces: (
    name: string,
    pieces: Iterable<Uint8Array>,
    length: number,
  ) => Promise<Uint8Array | undefined>;
}

/**
 * @param options.minBytes a smaller message is not compressed.
 * @param options.concurrency the most messages that are compressed at once. Others are sent uncompressed, because waiting for a processor
 *   costs more than some more bytes.
 */
export function createCompressor(options: { readonly minBytes: number; readonly concurrency: number }): Compressor {
  const negotiated = new Map<string, string | undefined>();
  let running = 0;
  return {
    minBytes: options.minBytes,
    negotiate(accepted) {
      if (accepted === undefined) return undefined;
      let name = negotiated.get(accepted);
      if (name !== undefined || negotiated.has(accepted)) return name;
      name = firstOf(accepted);
      if (negotiated.size < REMEMBERED_MAX) negotiated.set(accepted, name);
      return name;
    },
    async compress(name, bytes) {
      const encoding = ENCODINGS[name];
      if (encoding === undefined || running >= options.concurrency) return undefined;
      running++;
      try {
        const compressed = bytes.length <= SMALL_BYTES ? encoding.compressNow(bytes) : await encoding.compress(bytes);
        return compressed.length < bytes.length ? compressed : bytes;
      } finally {
        running--;
      }
    },
    async compressPieces(name, pieces, length) {
      const encoding = ENCODINGS[name];
      if (encoding === undefined || running >= options.concurrency) return undefined;
      running++;
      try {
        return await compressPieces(encoding.stream(length), pieces);
      } finally {
        running--;
      }
    },
  };
}

async function compressPieces(stream: Transform, pieces: Iterable<Uint8Array>): Promise<Buffer> {
  const compressed: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => compressed.push(chunk));
  const ended = once(stream, 'end');
  for (const piece of pieces) await new Promise<void>(resolve => stream.write(piece, () => resolve()));
  stream.end();
  await ended;
  return Buffer.concat(compressed);
}

function firstOf(accepted: string): string | undefined {
  for (const item of accepted.split(',')) {
    const [given = '', ...parameters] = item.split(';').map(part => part.trim().toLowerCase());
    const name = contentCodingOf(given) ?? '';
    if (name in ENCODINGS && !parameters.some(parameter => /^q=0(\.0*)?$/.test(parameter))) return name;
  }
  return undefined;
}

const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT, BROTLI_PARAM_LGWIN } = zlib.constants;
const [gzip, brotli] = [promisify(zlib.gzip), promisify(zlib.brotliCompress)];
/** The levels are for answers that somebody waits for. The next level saves a hundredth more, and takes a third longer. */
const GZIP = { level: 4 };
const brotliOptions = (length: number) => ({
  params: {
    [BROTLI_PARAM_QUALITY]: 2,
    [BROTLI_PARAM_SIZE_HINT]: length,
    // A window of the message's size, from 2^10 to 2^22 bytes. A larger one would be allocated and cleared in vain.
    [BROTLI_PARAM_LGWIN]: Math.min(22, Math.max(10, Math.ceil(Math.log2(length)))),
  },
});
const ENCODINGS: Readonly<Record<string, Encoding>> = Object.assign(Object.create(null), {
  gzip: {
    compress: bytes => gzip(bytes, GZIP),
    compressNow: bytes => zlib.gzipSync(bytes, GZIP),
    stream: () => zlib.createGzip(GZIP),
  },
  br: {
    compress: bytes => brotli(bytes, brotliOptions(bytes.length)),
    compressNow: bytes => zlib.brotliCompressSync(bytes, brotliOptions(bytes.length)),
    stream: length => zlib.createBrotliCompress(brotliOptions(length)),
  },
} satisfies Record<string, Encoding>);
/** Up to this size, another thread takes longer than compressing: 400 us against 40 to 300 (`npm run bench compression`). */
const SMALL_BYTES = 16_384;
/** Clients have few different values, and a hostile client gets no more room than this. */
const REMEMBERED_MAX = 100;

interface Encoding {
  readonly compress: (bytes: Uint8Array) => Promise<Uint8Array>;
  readonly compressNow: (bytes: Uint8Array) => Uint8Array;
  readonly stream: (length: number) => Transform;
}
