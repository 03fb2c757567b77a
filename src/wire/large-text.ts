/** A long text of a message, in UTF-8, and how one of its formats writes it. */
export interface LargeText {
  readonly utf8: Buffer;
  /** How many bytes it has as it is written. */
  readonly length: number;
  /** The most bytes that one byte of UTF-8 becomes. */
  readonly mostPerByte: number;
  /** Writes some bytes into a buffer, from an offset on. @returns how many that are there. */
  readonly write: (utf8: Buffer, into: Buffer, offset: number) => number;
}

/** As protobuf has it, without its length. */
export function plainText(text: string): LargeText {
  const utf8 = bytesOf(text);
  return { utf8, length: utf8.length, mostPerByte: 1, write: (bytes, into, offset) => bytes.copy(into, offset) };
}

/** As JSON has it, without its quotes: what JSON.stringify makes of it. @param text has no half of a surrogate pair. */
export function escapedText(text: string): LargeText {
  const utf8 = bytesOf(text);
  let length = 0;
  // In parts: V8 optimizes what is called often, and one long loop costs seven times as much.
  for (let start = 0; start < utf8.length; start += PART_BYTES) {
    length += escapedLength(utf8.subarray(start, start + PART_BYTES));
  }
  return { utf8, length, mostPerByte: 6, write: writeEscaped };
}

function escapedLength(utf8: Buffer): number {
  let length = 0;
  for (let i = 0; i < utf8.length; i++) length += LENGTHS[utf8[i] as number] as number;
  return length;
}

function writeEscaped(utf8: Buffer, into: Buffer, offset: number): number {
  let to = offset;
  for (let i = 0; i < utf8.length; i++) {
    const byte = utf8[i] as number;
    const length = LENGTHS[byte] as number;
    if (length === 1) into[to++] = byte;
    else for (let n = 0; n < length; n++) into[to++] = ESCAPES[6 * byte + n] as number;
  }
  return to - offset;
}

/** In memory of its own. */
function bytesOf(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}

const PART_BYTES = 16 * 1024;
/** The escapes of characters of one byte, in six bytes each, and their lengths; other bytes are their own. */
const ESCAPES = new Uint8Array(6 * 0x80);
const LENGTHS = new Uint8Array(0x100).fill(1);
for (let unit = 0; unit < 0x80; unit++) {
  const escaped = Buffer.from(JSON.stringify(String.fromCharCode(unit)).slice(1, -1));
  ESCAPES.set(escaped, 6 * unit);
  LENGTHS[unit] = escaped.length;
}
