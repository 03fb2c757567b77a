import type { DescMessage, JsonReadOptions, Message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { decodeBinary, decodeJson, MalformedMessageError } from '#client/strict-messages.ts';

/**
 * Reads a request's message strictly, from binary protobuf or JSON.
 *
 * @throws ConnectError INVALID_ARGUMENT, caused by a MalformedMessageError, if the request is not such a message.
 */
export function decodeRequest(
  schema: DescMessage,
  request: Uint8Array | string,
  binary: boolean,
  jsonOptions: Partial<JsonReadOptions>,
): Message {
  try {
    if (!binary) return decodeJson(schema, request, jsonOptions);
    return decodeBinary(schema, request as Uint8Array, IGNORE_UNKNOWN);
  } catch (error) {
    throw malformed(error);
  }
}

/** The error of an unreadable message. Other errors are returned unchanged. */
export function malformed(error: unknown): unknown {
  if (!(error instanceof MalformedMessageError)) return error;
  return new ConnectError(error.message, Code.InvalidArgument, undefined, undefined, error);
}

/** They are never read. */
const IGNORE_UNKNOWN = { readUnknownFields: false };
