import { promisify } from 'node:util';
import zlib from 'node:zlib';

/** Compresses responses, a few at a time. */
export interface Compressor {
  /** Smaller ones are sent as they are. */
  readonly minBytes: number;
  /**
   * The encoding to answer in: the first that the client accepts (RFC 9110, 12.5.3) and we have; undefined for none. One with
   * a quality of 0 is not accepted; other qualities are not weighed, as in connect-node.
   *
   * @param accepted the field Accept-Encoding, or the like.
   */
  readonly negotiate: (accepted: string | undefined) => string | undefined;
  /** @returns the same bytes where nothing is gained; undefined where too many are being compressed already. */
  readonly compress: (name: string, bytes: Uint8Array) => Promise<Uint8Array | undefined>;
}

/**
 * @param options.minBytes a message below this is not compressed.
 * @param options.concurrency how many messages are compressed at once; beyond it they are sent as they are, since waiting
 *   for a processor costs more than sending some bytes more.
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
      const compress = COMPRESS[name];
      if (compress === undefined || running >= options.concurrency) return undefined;
      running++;
      try {
        const compressed = await compress(bytes);
        return compressed.length < bytes.length ? compressed : bytes;
      } finally {
        running--;
      }
    },
  };
}

function firstOf(accepted: string): string | undefined {
  for (const item of accepted.split(',')) {
    const [name = '', ...parameters] = item.split(';').map(part => part.trim().toLowerCase());
    if (name in COMPRESS && !parameters.some(parameter => /^q=0(\.0*)?$/.test(parameter))) return name;
  }
  return undefined;
}

const COMPRESS: Readonly<Record<string, (bytes: Uint8Array) => Promise<Uint8Array>>> = Object.assign(
  Object.create(null),
  {
    gzip: promisify(zlib.gzip),
    br: (bytes: Uint8Array) =>
      promisify(zlib.brotliCompress)(bytes, {
        // The default of 11 is for files that are compressed once and served for years: 100 times as slow.
        params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4, [zlib.constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
      }),
  },
);
/** Clients have few different ones, and a hostile one gets no more than this. */
const REMEMBERED_MAX = 100;
