import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';

/** The fields of a message type by number, as the binary format has them. */
export type BinaryLayout = ReadonlyMap<number, FieldLayout>;

export interface FieldLayout {
  readonly number: number;
  /** As the .proto has it. */
  readonly name: string;
  /** The wire type of each value. One record may hold several numbers. */
  readonly wireType: WireType;
  readonly isPackable: boolean;
  readonly isRepeated: boolean;
  readonly isText: boolean;
  /** The layout of the message that it holds, or of a map's entries. */
  readonly message: BinaryLayout | undefined;
}

const layouts = new WeakMap<DescMessage, BinaryLayout>();

/** The layout of a message type, made at its first use. */
export function layoutOf(schema: DescMessage): BinaryLayout {
  const known = layouts.get(schema);
  if (known !== undefined) return known;
  const layout = new Map<number, FieldLayout>();
  // Before its fields, which may be of the same type.
  layouts.set(schema, layout);
  for (const field of schema.fields) layout.set(field.number, layoutOfField(field));
  return layout;
}

function layoutOfField(field: DescField): FieldLayout {
  const scalar = scalarOf(field);
  const wireType = scalar === undefined ? WireType.LengthDelimited : wireTypeOf(scalar);
  return {
    number: field.number,
    name: field.name,
    wireType: 'delimitedEncoding' in field && field.delimitedEncoding ? WireType.StartGroup : wireType,
    isPackable: field.fieldKind === 'list' && wireType !== WireType.LengthDelimited,
    isRepeated: field.fieldKind === 'list' || field.fieldKind === 'map',
    isText: scalar === ScalarType.STRING && field.utf8Validation,
    message: field.fieldKind === 'map' ? entryLayout(field) : field.message && layoutOf(field.message),
  };
}

/** An entry of a map is a message with the key as field 1 and the value as field 2. */
function entryLayout(field: DescField & { readonly fieldKind: 'map' }): BinaryLayout {
  const value = field.enum === undefined ? field.scalar : ScalarType.INT32;
  return new Map([
    [1, entryField(1, 'key', field.mapKey, undefined, field.utf8Validation)],
    [2, entryField(2, 'value', value, field.message, field.utf8Validation)],
  ]);
}

function entryField(
  number: number,
  name: string,
  scalar: ScalarType | undefined,
  message: DescMessage | undefined,
  isChecked: boolean,
): FieldLayout {
  return {
    number,
    name,
    wireType: scalar === undefined ? WireType.LengthDelimited : wireTypeOf(scalar),
    isPackable: false,
    isRepeated: false,
    isText: scalar === ScalarType.STRING && isChecked,
    message: message && layoutOf(message),
  };
}

/** Undefined for messages and maps. */
function scalarOf(field: DescField): ScalarType | undefined {
  if (field.fieldKind === 'map') return undefined;
  return field.enum === undefined ? field.scalar : ScalarType.INT32;
}

function wireTypeOf(scalar: ScalarType): WireType {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return WireType.Bit64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return WireType.Bit32;
    default:
      return WireType.Varint;
  }
}
