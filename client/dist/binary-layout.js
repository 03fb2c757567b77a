import { ScalarType } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
const layouts = new WeakMap();
/** The layout of a message type, made when it is asked for first. */
export function layoutOf(schema) {
    const known = layouts.get(schema);
    if (known !== undefined)
        return known;
    const layout = new Map();
    // Before its fields, which may be of the same type.
    layouts.set(schema, layout);
    for (const field of schema.fields)
        layout.set(field.number, layoutOfField(field));
    return layout;
}
function layoutOfField(field) {
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
function entryLayout(field) {
    const value = field.enum === undefined ? field.scalar : ScalarType.INT32;
    return new Map([
        [1, entryField(1, 'key', field.mapKey, undefined, field.utf8Validation)],
        [2, entryField(2, 'value', value, field.message, field.utf8Validation)],
    ]);
}
function entryField(number, name, scalar, message, isChecked) {
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
function scalarOf(field) {
    if (field.fieldKind === 'map')
        return undefined;
    return field.enum === undefined ? field.scalar : ScalarType.INT32;
}
function wireTypeOf(scalar) {
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
