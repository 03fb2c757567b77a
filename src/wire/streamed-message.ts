import { hash } from 'node:crypto';
import type { Compressor } from '#src/wire/compressor.ts';
import { EncodedMessage } from '#src/wire/encoded-message.ts';
import type { LargeText } from '#src/wire/large-text.ts';
import { PIECE_BYTES } from '#src/wire/pieces.ts';

/**
 * A large message in one format for one client, written as the client reads it. It holds the UTF-8 of its texts until it is freed, however
 * much longer they are in that format.
 */
export class StreamedMessage {
  /** In bytes. */
  readonly length: number;
  /** Its memory cost: what it holds, and as much again as garbage of its making. */
  readonly heldBytes: number;
  readonly #parts: readonly MessagePart[];

  constructor(parts: readonly MessagePart[]) {
    this.#parts = parts;
    this.length = parts.reduce((sum, { length }) => sum + length, 0);
    this.heldBytes = parts.reduce((sum, part) => sum + 2 * bytesOf(part).length, PIECE_BYTES);
  }

  /** A strong entity tag (RFC 9110, 8.8.3) of everything that determines the bytes. */
  get etag(): string {
    return `"${hash('sha1', this.#parts.map(part => hash('sha1', bytesOf(part))).join(), 'base64url')}"`;
  }

  /**
   * The bytes in pieces, all in the same memory: each must be used up before the next one is requested.
   *
   * @param isEnveloped whether they begin with gRPC's prefix.
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

  /** The same message compressed; undefined if that is not possible now. */
  async compressed(name: string, compressor: Compressor): Promise<EncodedMessage | undefined> {
    const bytes = await compressor.compressPieces(name, this.pieces(false), this.length);
    return bytes && new EncodedMessage(bytes, { compressed: true });
  }

  /** Frees the memory at once, without waiting for the garbage collector. The message must not be sent any more. */
  free(): void {
    for (const part of this.#parts) if (isText(part)) (part.utf8.buffer as ArrayBuffer).transfer(0);
  }
}

/** Its parts, in order. */
export type MessagePart = Buffer | LargeText;

function isText(part: MessagePart): part is LargeText {
  return 'utf8' in part;
}

function bytesOf(part: MessagePart): Buffer {
  return isText(part) ? part.utf8 : part;
}

/** A smaller piece is not worth its call. */
const COUNT_MIN = 1024;
