import { hash } from 'node:crypto';
import type { Compressor } from '#src/wire/compressor.ts';
import { EncodedMessage } from '#src/wire/encoded-message.ts';
import type { LargeText } from '#src/wire/large-text.ts';
import { PIECE_BYTES } from '#src/wire/pieces.ts';

/**
 * A large message in one format, for one reader, which is written as that one takes it. It holds the bytes of its texts, however many more
 * they are in that format, and until it is freed.
 */
export class StreamedMessage {
  /** In bytes. */
  readonly length: number;
  /** How much memory it costs: what it holds, and as much again, which its making leaves behind until that is collected. */
  readonly heldBytes: number;
  readonly #parts: readonly MessagePart[];

  constructor(parts: readonly MessagePart[]) {
    this.#parts = parts;
    this.length = parts.reduce((sum, { length }) => sum + length, 0);
    this.heldBytes = parts.reduce((sum, part) => sum + 2 * bytesOf(part).length, PIECE_BYTES);
  }

  /** A strong entity tag (RFC 9110, 8.8.3): of all that the bytes are made of. */
  get etag(): string {
    return `"${hash('sha1', this.#parts.map(part => hash('sha1', bytesOf(part))).join(), 'base64url')}"`;
  }

  /**
   * The bytes, in pieces. All are in the same memory: each has to be done with before the next one is asked for.
   *
   * @param isEnveloped whether there is a prefix, as gRPC has it.
   */
  *pieces(isEnveloped: boolean): Generator<Buffer> {
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
    let used = 0;
    if (isEnveloped) {
      piece[0] = 0;
      used = piece.writeUInt32BE(this.length, 1);
    }
    for (const part of this.#parts) {
      const bytes = bytesOf(part);
      const mostPerByte = isText(part) ? part.mostPerByte : 1;
      for (let start = 0; start < bytes.length; ) {
        const count = Math.min(bytes.length - start, Math.floor((PIECE_BYTES - used) / mostPerByte));
        if (count < Math.min(COUNT_MIN, bytes.length - start)) {
          yield piece.subarray(0, used);
          used = 0;
          continue;
        }
        const some = bytes.subarray(start, start + count);
        used += isText(part) ? part.write(some, piece, used) : some.copy(piece, used);
        start += count;
      }
    }
    if (used > 0) yield piece.subarray(0, used);
  }

  /** The same message compressed; undefined where that can't be had now. */
  async compressed(name: string, compressor: Compressor): Promise<EncodedMessage | undefined> {
    const bytes = await compressor.compressPieces(name, this.pieces(false), this.length);
    return bytes && new EncodedMessage(bytes, { compressed: true });
  }

  /** Gives the memory back at once, and not when it is found to be garbage: it is sent no more. */
  free(): void {
    for (const part of this.#parts) if (isText(part)) (part.utf8.buffer as ArrayBuffer).transfer(0);
  }
}

/** What it consists of, in this order. */
export type MessagePart = Buffer | LargeText;

function isText(part: MessagePart): part is LargeText {
  return 'utf8' in part;
}

function bytesOf(part: MessagePart): Buffer {
  return isText(part) ? part.utf8 : part;
}

/** Less than this is not worth its call. */
const COUNT_MIN = 1024;
