import { type BinaryReadOptions, type DescMessage, type JsonReadOptions, type MessageShape } from '@bufbuild/protobuf';
export { MalformedMessageError } from './malformed-message-error.ts';
/**
 * Reads a message from the binary format, as the service does: like `fromBinary` of protobuf-es, but a known field of another wire
 * type is an unknown field, and what protobuf-go refuses is refused.
 *
 * @param options as those of `fromBinary`. Unknown fields are kept by default, as there.
 * @throws MalformedMessageError.
 */
export declare function decodeBinary<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array, options?: Partial<BinaryReadOptions>): MessageShape<Desc>;
/**
 * Reads a message from JSON, as the service does: like `fromJsonString` of protobuf-es, but only times, numbers and base64 that are
 * as their formats define them are taken, and only bytes that are UTF-8.
 *
 * @param json text, or its bytes.
 * @param options as those of `fromJsonString`. Unlike there, unknown fields are ignored by default, as the service has it.
 * @throws MalformedMessageError.
 */
export declare function decodeJson<Desc extends DescMessage>(schema: Desc, json: string | Uint8Array, options?: Partial<JsonReadOptions>): MessageShape<Desc>;
/**
 * A byte order mark in front is ignored, as RFC 8259, 8.1, allows: some clients write one.
 *
 * @throws MalformedMessageError where the bytes are not UTF-8.
 */
export declare function decodeText(bytes: Uint8Array): string;
