import { hash } from 'node:crypto';
import type { Compressor } from '#src/wire/compressor.ts';
import { piecesOf } from '#src/wire/pieces.ts';

/** The bytes of one message in one format, and what is made of them, each when it is first asked for. */
export class EncodedMessage {
  /** Of the message, in bytes. */
  readonly length: number;
  readonly #compressedFlag: boolean;
  readonly #lasting: boolean;
  #envelope: Buffer | undefined;
  #text: string | undefined;
  #etag: string | undefined;
  #compressed: Map<string, Promise<EncodedMessage | undefined>> | undefined;

  /** @param options.lasting it is kept: then it has memory of its own, where others share a block that lives as long as one of them. */
  constructor(
    message: Uint8Array | string,
    { compressed = false, lasting = false }: { readonly compressed?: boolean; readonly lasting?: boolean } = {},
  ) {
    this.#compressedFlag = compressed;
    this.#lasting = lasting;
    this.length = typeof message === 'string' ? Buffer.byteLength(message) : message.length;
    // What is ASCII is the same in Latin-1.
    if (message.length === this.length && typeof message === 'string') this.#text = message;
    else this.#envelope = this.#enclose(message);
  }

  /** A byte of flags, four of length, and the message (gRPC over HTTP/2, "Length-Prefixed-Message"). */
  get envelope(): Buffer {
    this.#envelope ??= this.#enclose(this.text);
    return this.#envelope;
  }

  /** The message alone: a view of the envelope. */
  get bytes(): Buffer {
    return this.envelope.subarray(PREFIX_LENGTH);
  }

  /** The bytes as characters of Latin-1: with a head in front, they go to a socket in one write. */
  get text(): string {
    this.#text ??= this.bytes.toString('latin1');
    return this.#text;
  }

  /** A strong entity tag (RFC 9110, 8.8.3): of these very bytes, so each format and compression has its own. */
  get etag(): string {
    this.#etag ??= `"${hash('sha1', this.#envelope === undefined ? this.text : this.bytes, 'base64url')}"`;
    return this.#etag;
  }

  /** About how much memory it holds for who reads it. */
  get heldBytes(): number {
    return this.length;
  }

  /** It may have other readers. */
  free(): void {}

  /** The bytes, in pieces. @param isEnveloped whether there is a prefix, as gRPC has it. */
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

  /** The same message compressed; undefined where that gains nothing, or can't be had now. Compressed once. */
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
      // It was too busy, or failed: the next one may have more luck.
      if (bytes === undefined) this.#compressed?.delete(name);
    }
    if (bytes === undefined || bytes === plain) return undefined;
    return new EncodedMessage(bytes, { compressed: true, lasting: this.#lasting });
  }
}

const PREFIX_LENGTH = 5;
