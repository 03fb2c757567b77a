import { hash } from 'node:crypto';
import type { Compressor } from '#src/wire/compressor.ts';
import { piecesOf } from '#src/wire/pieces.ts';

/** The bytes of one message in one format, and their derived forms, each made on demand. */
export class EncodedMessage {
  /** The length of the message in bytes. */
  readonly length: number;
  readonly #compressedFlag: boolean;
  readonly #lasting: boolean;
  #envelope: Buffer | undefined;
  #text: string | undefined;
  #etag: string | undefined;
  #compressed: Map<string, Promise<EncodedMessage | undefined>> | undefined;

  /** @param options.lasting it is kept, so it has its own memory. Others share a block that lives as long as one of them. */
  constructor(
    message: Uint8Array | string,
    { compressed = false, lasting = false }: { readonly compressed?: boolean; readonly lasting?: boolean } = {},
  ) {
    this.#compressedFlag = compressed;
    this.#lasting = lasting;
    this.length = typeof message === 'string' ? Buffer.byteLength(message) : message.length;
    // ASCII is the same in Latin-1.
    if (message.length === this.length && typeof message === 'string') this.#text = message;
    else this.#envelope = this.#enclose(message);
  }

  /** One byte of flags, four bytes of length, and the message (gRPC over HTTP/2, "Length-Prefixed-Message"). */
  get envelope(): Buffer {
    this.#envelope ??= this.#enclose(this.text);
    return this.#envelope;
  }

  /** Only the message: a view of the envelope. */
  get bytes(): Buffer {
    return this.envelope.subarray(PREFIX_LENGTH);
  }

  /** The bytes as Latin-1 text, which goes to a socket in one write together with a head. */
  get text(): string {
    this.#text ??= this.bytes.toString('latin1');
    return this.#text;
  }

  /** A strong entity tag (RFC 9110, 8.8.3) of these bytes, so each format and compression has its own. */
  get etag(): string {
    this.#etag ??= `"${hash('sha1', this.#envelope === undefined ? this.text : this.bytes, 'base64url')}"`;
    return this.#etag;
  }

  /** About how much memory it holds for its reader. */
  get heldBytes(): number {
    return this.length;
  }

  /** It may have other readers. */
  free(): void {}

  /** The bytes in pieces. @param isEnveloped whether they begin with gRPC's prefix. */
  pieces(isEnveloped: boolean): Iterable<Buffer> {
    return piecesOf(isEnveloped ? this.envelope : this.bytes);
  }

  #enclose(message: Uint8Array | string): Buffer {
    const size = PREFIX_LENGTH + this.length;
    const envelope = this.#lasting ? Buffer.allocUnsafeSlow(size) : Buffer.allocUnsafe(size);
    envelope[0] = this.#compressedFlag ? 1 : 0;
    envelope.writeUInt32BE(this.length, 1);
    if (typeof message === 'string') envelope.write(message, PREFIX_LENGTH);
    else envelope.set(message, PREFIX_LENGTH);
    return envelope;
  }

  /** The same message compressed, once; undefined if that gains nothing, or is not possible now. */
  compressed(name: string, compressor: Compressor): Promise<EncodedMessage | undefined> {
    this.#compressed ??= new Map();
    let compressed = this.#compressed.get(name);
    if (compressed === undefined) {
      compressed = this.#compress(name, compressor);
      this.#compressed.set(name, compressed);
    }
    return compressed;
  }

  async #compress(name: string, compressor: Compressor): Promise<EncodedMessage | undefined> {
    const { bytes: plain } = this;
    let bytes: Uint8Array | undefined;
    try {
      bytes = await compressor.compress(name, plain);
    } finally {
      // It was too busy, or failed. The next call tries again.
      if (bytes === undefined) this.#compressed?.delete(name);
    }
    if (bytes === undefined || bytes === plain) return undefined;
    return new EncodedMessage(bytes, { compressed: true, lasting: this.#lasting });
  }
}

const PREFIX_LENGTH = 5;
