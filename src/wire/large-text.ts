/** A long text of a message in UTF-8, and its form in one of the formats. */
export interface LargeText {
  readonly utf8: Buffer;
  /** Its length in bytes in that format. */
  readonly length: number;
  /** The most bytes for one byte of UTF-8. */
  readonly mostPerByte: number;
  /** Writes some bytes into a buffer at an offset. @returns their number. */
  readonly write: (utf8: Buffer, into: Buffer, offset: number) => number;
}

/** In protobuf, without its length. */
export function plainText(text: string): LargeText {
  const utf8 = bytesOf(text);
  return { utf8, length: utf8.length, mostPerByte: 1, write: (bytes, into, offset) => bytes.copy(into, offset) };
}

/** In JSON, without its quotes: the output of JSON.stringify. @param text has no unpaired surrogate. */
export function escapedText(text: string): LargeText {
  const utf8 = bytesOf(text);
  let length = 0;
  // In parts: V8 optimizes functions that are called often, and one long loop costs seven times as much.
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

/** In its own memory. */
function bytesOf(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}

const PART_BYTES = 16 * 1024;
/** The escapes of one-byte characters, in six bytes each, and their lengths. Other bytes are unchanged. */
const ESCAPES = new Uint8Array(6 * 0x80);
const LENGTHS = new Uint8Array(0x100).fill(1);
for (let unit = 0; unit < 0x80; unit++) {
  const escaped = Buffer.from(JSON.stringify(String.fromCharCode(unit)).slice(1, -1));
  ESCAPES.set(escaped, 6 * unit);
  LENGTHS[unit] = escaped.length;
}
