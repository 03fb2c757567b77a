import type { DescMessage, JsonReadOptions, Message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { decodeBinary, decodeJson, MalformedMessageError } from '#client/strict-messages.ts';

/**
 * Reads a request's message, from binary protobuf or JSON, strictly.
 *
 * @throws ConnectError INVALID_ARGUMENT, whose cause is a MalformedMessageError, where the request is no such message.
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

/** The error for a message that can't be read; other errors are given back as they are. */
export function malformed(error: unknown): unknown {
  if (!(error instanceof MalformedMessageError)) return error;
  return new ConnectError(error.message, Code.InvalidArgument, undefined, undefined, error);
}

/** Nobody looks at them. */
const IGNORE_UNKNOWN = { readUnknownFields: false };
