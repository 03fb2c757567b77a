import {
  type BinaryReadOptions,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonReadOptions,
  type JsonValue,
  type Message,
  type MessageShape,
} from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { MalformedMessageError } from './malformed-message-error.ts';
import { checkBinary, checkTexts, KEPT_FIELD } from './strict-binary.ts';
import { checkJson } from './strict-json.ts';

export { MalformedMessageError } from './malformed-message-error.ts';

/**
 * Reads a message from the binary format, as the service does: like `fromBinary` of protobuf-es, but a known field of another wire
 * type is an unknown field, and what protobuf-go refuses is refused.
 *
 * @param options as those of `fromBinary`. Unknown fields are kept by default, as there.
 * @throws MalformedMessageError.
 */
export function decodeBinary<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
  options: Partial<BinaryReadOptions> = {},
): MessageShape<Desc> {
  const keepsUnknown = options.readUnknownFields ?? true;
  const checked = checkBinary(schema, bytes, keepsUnknown);
  try {
    const message = fromBinary(schema, checked, options);
    if (checked !== bytes && keepsUnknown) restoreKept(message);
    return message;
  } catch (error) {
    checkTexts(schema, bytes);
    throw unreadable(error);
  }
}

/**
 * Reads a message from JSON, as the service does: like `fromJsonString` of protobuf-es, but only times, numbers and base64 that are
 * as their formats define them are taken, and only bytes that are UTF-8.
 *
 * @param json text, or its bytes.
 * @param options as those of `fromJsonString`. Unlike there, unknown fields are ignored by default, as the service has it.
 * @throws MalformedMessageError.
 */
export function decodeJson<Desc extends DescMessage>(
  schema: Desc,
  json: string | Uint8Array,
  options?: Partial<JsonReadOptions>,
): MessageShape<Desc> {
  const value = checkJson(schema, typeof json === 'string' ? json : decodeText(json));
  try {
    return fromJson(schema, value as JsonValue, { ignoreUnknownFields: true, ...options });
  } catch (error) {
    throw unreadable(error);
  }
}

/**
 * A byte order mark in front is ignored, as RFC 8259, 8.1, allows: some clients write one.
 *
 * @throws MalformedMessageError where the bytes are not UTF-8.
 */
export function decodeText(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch (error) {
    throw new MalformedMessageError('', 'must be UTF-8', { cause: error });
  }
}

/** Puts fields of another wire type among the unknown ones, with their own numbers. */
function restoreKept(value: unknown): void {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
  const { $unknown } = value as Message;
  if (Array.isArray($unknown)) {
    (value as Message).$unknown = $unknown.map(field => {
      if (field.no !== KEPT_FIELD) return field;
      const reader = new BinaryReader(field.data);
      // Its length.
      reader.uint32();
      const [no, wireType] = reader.tag();
      return { no, wireType, data: field.data.subarray(reader.pos) };
    });
  }
  for (const [name, inner] of Object.entries(value)) if (name !== '$unknown') restoreKept(inner);
}

function unreadable(error: unknown): MalformedMessageError {
  const reason = error instanceof Error ? error.message : String(error);
  return new MalformedMessageError('', `can't be read: ${reason}`, { cause: error });
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });
