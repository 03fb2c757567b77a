import type { DescMessage } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type BinaryLayout, type FieldLayout, layoutOf } from './binary-layout.ts';
import { joinPath, MalformedMessageError } from './malformed-message-error.ts';

/**
 * Checks that bytes are a message in the binary format, as protobuf-go does before it takes them. `fromBinary` of protobuf-es does not. It
 * reads a known field of another wire type as if it had the right one, where the format has it as an unknown field. It also lets a field
 * reach beyond the message that holds it.
 *
 * @param keepsForeign whether fields of another wire type come behind KEPT_FIELD, or else nowhere.
 * @returns bytes for `fromBinary`: the same ones, or others, without what it would misread.
 * @throws MalformedMessageError.
 */
export function checkBinary(schema: DescMessage, bytes: Uint8Array, keepsForeign = false): Uint8Array {
  const layout = layoutOf(schema);
  const scan = new BinaryScan(bytes);
  scan.run(layout);
  if (scan.isPlain) return bytes;
  const writer = new BinaryWriter();
  new BinaryScan(bytes, { writer, keepsForeign }).run(layout);
  return writer.finish();
}

/** Throws if a text is not UTF-8, with the field's name. For bytes that `fromBinary` has refused. */
export function checkTexts(schema: DescMessage, bytes: Uint8Array): void {
  new BinaryScan(bytes, { checksText: true }).run(layoutOf(schema));
}

/** Has whole records, tag and value, that `fromBinary` can't have under their own number. The highest number that there is. */
export const KEPT_FIELD = 536_870_911;

interface ScanOptions {
  /** Gets a copy of the message for `fromBinary`. */
  readonly writer?: BinaryWriter;
  readonly keepsForeign?: boolean;
  readonly checksText?: boolean;
}

/** One walk over a message. It allocates nothing while all is well: the path of a fault is found by a second walk. */
class BinaryScan {
  /** Whether `fromBinary` reads these bytes as they are meant. */
  isPlain = true;
  readonly #bytes: Uint8Array;
  readonly #writer: BinaryWriter | undefined;
  readonly #keepsForeign: boolean;
  readonly #checksText: boolean;
  /** The way to the field that is read, kept on the walk that looks for a fault. */
  #path: (string | number)[] | undefined;
  #pos = 0;
  /** Up to where the writer has the message. */
  #written = 0;

  constructor(bytes: Uint8Array, { writer, keepsForeign = false, checksText = false }: ScanOptions = {}) {
    this.#bytes = bytes;
    this.#writer = writer;
    this.#keepsForeign = keepsForeign;
    this.#checksText = checksText;
  }

  run(layout: BinaryLayout): void {
    try {
      this.#message(layout, this.#bytes.length, 0, DEPTH_MAX);
      this.#write(this.#pos);
    } catch (error) {
      if (!(error instanceof BinaryFault)) throw error;
      this.#pos = 0;
      this.#path = [];
      try {
        this.#message(layout, this.#bytes.length, 0, DEPTH_MAX);
      } catch {
        // The same fault, and the way to it.
      }
      throw new MalformedMessageError(joinPath(this.#path), error.message, { cause: error });
    }
  }

  /** @param group the number of the field whose group this is; 0: this is not a group. */
  #message(layout: BinaryLayout, end: number, group: number, depth: number): void {
    if (depth === 0) throw new BinaryFault(`has messages in messages more than ${DEPTH_MAX} deep`);
    const counts = this.#path === undefined ? undefined : new Map<number, number>();
    while (this.#pos < end) {
      const start = this.#pos;
      const tag = this.#varint(end);
      const number = Math.floor(tag / 8);
      if (number < 1 || number > FIELD_MAX) throw new BinaryFault('has a field number that does not exist');
      const wireType = tag % 8;
      if (wireType === WireType.EndGroup) {
        if (number !== group) throw new BinaryFault('has the end of a group that did not begin');
        return;
      }
      const field = layout.get(number);
      if (field !== undefined && counts !== undefined) this.#enter(field, counts);
      this.#record(field, number, wireType, start, end, depth);
      if (field !== undefined && counts !== undefined) this.#path?.splice(-(field.isRepeated ? 2 : 1));
    }
    if (group !== 0) throw new BinaryFault('ends inside of a group');
  }

  /** @param start of the record, where its tag is. */
  #record(
    field: FieldLayout | undefined,
    number: number,
    wireType: WireType,
    start: number,
    end: number,
    depth: number,
  ): void {
    // `fromBinary` takes tags of five bytes at most; more only add zeros.
    const isLong = this.#pos - start > TAG_LENGTH_MAX;
    const isPacked = field?.isPackable === true && wireType === WireType.LengthDelimited;
    const isRight = field === undefined ? number !== KEPT_FIELD : wireType === field.wireType || isPacked;
    if (isLong || !isRight) this.isPlain = false;
    if (!isRight) {
      this.#write(start);
      this.#skip(number, wireType, end, depth);
      this.#written = this.#pos;
      if (!this.#keepsForeign || isLong) return;
      this.#writer?.tag(KEPT_FIELD, WireType.LengthDelimited).bytes(this.#bytes.subarray(start, this.#pos));
      return;
    }
    if (isLong) {
      this.#write(start);
      this.#writer?.tag(number, wireType);
      this.#written = this.#pos;
    }
    if (isPacked) this.#packed(field.wireType, end);
    else if (field?.message !== undefined) this.#child(field, field.message, end, depth);
    else if (field?.isText && this.#checksText) this.#text(end);
    else this.#skip(number, wireType, end, depth);
  }

  /** Copies what is right up to a place. */
  #write(to: number): void {
    if (this.#writer === undefined || to <= this.#written) return;
    this.#writer.raw(this.#bytes.subarray(this.#written, to));
    this.#written = to;
  }

  #child(field: FieldLayout, layout: BinaryLayout, end: number, depth: number): void {
    if (field.wireType === WireType.StartGroup) {
      this.#message(layout, end, field.number, depth - 1);
      return;
    }
    // With its tag, and with a length of its own, since something may be left out.
    this.#write(this.#pos);
    const length = this.#length(end);
    this.#written = this.#pos;
    this.#writer?.fork();
    this.#message(layout, this.#pos + length, 0, depth - 1);
    this.#write(this.#pos);
    this.#writer?.join();
  }

  /** A list of numbers in one record: each has to end where the record does, or before. */
  #packed(wireType: WireType, end: number): void {
    const length = this.#length(end);
    const packedEnd = this.#pos + length;
    while (this.#pos < packedEnd) this.#skip(0, wireType, packedEnd, 1);
  }

  #text(end: number): void {
    const length = this.#length(end);
    try {
      UTF8.decode(this.#bytes.subarray(this.#pos, this.#pos + length));
    } catch (error) {
      throw new BinaryFault('must be text in UTF-8', { cause: error });
    }
    this.#pos += length;
  }

  /** Passes over a value. */
  #skip(number: number, wireType: WireType, end: number, depth: number): void {
    switch (wireType) {
      case WireType.Varint:
        this.#varint(end);
        return;
      case WireType.Bit64:
        this.#advance(8, end);
        return;
      case WireType.Bit32:
        this.#advance(4, end);
        return;
      case WireType.LengthDelimited:
        this.#advance(this.#length(end), end);
        return;
      case WireType.StartGroup:
        this.#group(number, end, depth - 1);
        return;
      default:
        throw new BinaryFault(`has the wire type ${wireType}, which does not exist`);
    }
  }

  #group(number: number, end: number, depth: number): void {
    if (depth === 0) throw new BinaryFault(`has groups in groups more than ${DEPTH_MAX} deep`);
    for (;;) {
      const tag = this.#varint(end);
      const inner = Math.floor(tag / 8);
      if (inner < 1 || inner > FIELD_MAX) throw new BinaryFault('has a field number that does not exist');
      if (tag % 8 === WireType.EndGroup) {
        if (inner !== number) throw new BinaryFault('has the end of another group than the one that began');
        return;
      }
      this.#skip(inner, tag % 8, end, depth);
    }
  }

  #length(end: number): number {
    const length = this.#varint(end);
    if (length > end - this.#pos) throw new BinaryFault('is cut short: it ends before its length says so');
    return length;
  }

  #advance(length: number, end: number): void {
    if (length > end - this.#pos) throw new BinaryFault('is cut short');
    this.#pos += length;
  }

  /** Reads a varint of at most 64 bits. Above 2^53 the result is not exact, and still larger than any limit. */
  #varint(end: number): number {
    const bytes = this.#bytes;
    if (this.#pos >= end) throw new BinaryFault('is cut short');
    const first = bytes[this.#pos++] as number;
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 0x80;
    for (let n = 2; n <= 10; n++) {
      if (this.#pos >= end) throw new BinaryFault('is cut short');
      const byte = bytes[this.#pos++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (n === 10 && byte > 1) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new BinaryFault('has a number of more than 64 bits');
  }

  #enter(field: FieldLayout, counts: Map<number, number>): void {
    this.#path?.push(field.name);
    if (!field.isRepeated) return;
    const index = counts.get(field.number) ?? 0;
    counts.set(field.number, index + 1);
    this.#path?.push(index);
  }
}

class BinaryFault extends Error {}

const UTF8 = new TextDecoder('utf-8', { fatal: true });
const FIELD_MAX = KEPT_FIELD;
const TAG_LENGTH_MAX = 5;
/** As protobuf-es has it. */
const DEPTH_MAX = 100;
