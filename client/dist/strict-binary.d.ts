import type { DescMessage } from '@bufbuild/protobuf';
/**
 * Checks that bytes are a message in the binary format, as protobuf-go does before it takes them. `fromBinary` of protobuf-es does not. It
 * reads a known field of another wire type as if it had the right one, where the format has it as an unknown field. It also lets a field
 * reach beyond the message that holds it.
 *
 * @param keepsForeign whether fields of another wire type come behind KEPT_FIELD, or else nowhere.
 * @returns bytes for `fromBinary`: the same ones, or others, without what it would misread.
 * @throws MalformedMessageError.
 */
export declare function checkBinary(schema: DescMessage, bytes: Uint8Array, keepsForeign?: boolean): Uint8Array;
/** Throws where a text is no UTF-8, with the field's name: for bytes that `fromBinary` has refused. */
export declare function checkTexts(schema: DescMessage, bytes: Uint8Array): void;
/** Has whole records, tag and value, that `fromBinary` can't have under their own number. The highest number that there is. */
export declare const KEPT_FIELD = 536870911;
