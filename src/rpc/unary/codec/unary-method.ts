import {
  create,
  type DescMethodUnary,
  type JsonReadOptions,
  type JsonWriteOptions,
  type Message,
  toBinary,
} from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel as Idempotency } from '@bufbuild/protobuf/wkt';
import type { HandlerContext } from '@connectrpc/connect';
import { decodeRequest } from '#src/rpc/unary/codec/decode-request.ts';
import { createJsonWriter } from '#src/rpc/unary/codec/json-writer.ts';
import { MessageEncoder } from '#src/rpc/unary/codec/message-encoder.ts';
import { messageParts } from '#src/rpc/unary/codec/message-parts.ts';
import { createRequestCache } from '#src/rpc/unary/codec/request-cache.ts';
import type { AnswerMessage } from '#src/wire/http-exchange.ts';

/** A unary RPC, with everything that is computed before the first call. */
export interface UnaryMethod {
  readonly method: DescMethodUnary;
  /** Such as `blog.v1.PostService/GetPost`. */
  readonly procedure: string;
  /** Whether GET may call it. */
  readonly isSafe: boolean;
  /** Cache-Control of answers to GET; undefined: none. */
  readonly cacheControl: string | undefined;
  /**
   * Ignores unknown fields. A small request of an RPC without side effects is kept and frozen, and equal requests get the same message.
   *
   * @throws ConnectError INVALID_ARGUMENT if the request is not such a message.
   */
  readonly parse: (request: Buffer | string, binary: boolean) => Message;
  readonly invoke: UnaryImpl;
  /** The length of the answer's long texts in UTF-16 code units. That costs far less than encoding it. */
  readonly weigh: (response: object) => number;
  /** @param response the handler's result: a message, or its initializer. */
  readonly encode: (response: object, binary: boolean) => AnswerMessage;
}

/** The handler of a unary RPC. */
export type UnaryImpl = (request: Message, context: HandlerContext) => object | Promise<object>;

/** The parts of a unary RPC. */
export interface UnaryMethodInit {
  readonly method: DescMethodUnary;
  readonly invoke: UnaryImpl;
  /** For example the registry for messages in an Any. */
  readonly jsonOptions?: Partial<JsonReadOptions & JsonWriteOptions> | undefined;
}

/** @param cacheControl the Cache-Control field of answers to GET. */
export function createUnaryMethod(
  { method, invoke, jsonOptions }: UnaryMethodInit,
  cacheControl: string | undefined,
): UnaryMethod {
  // Like connect-node.
  const json = { ignoreUnknownFields: true, ...jsonOptions };
  const { input, output } = method;
  const parse = (request: Buffer | string, binary: boolean) => decodeRequest(input, request, binary, json);
  const toJson = createJsonWriter(output, json);
  const parts = messageParts(output, toJson);
  const encoder = new MessageEncoder({
    toBinary: message => toBinary(output, message),
    toJson,
    parts,
  });
  return {
    method,
    procedure: `${method.parent.typeName}/${method.name}`,
    isSafe: method.idempotency === Idempotency.NO_SIDE_EFFECTS,
    cacheControl,
    parse: method.idempotency === Idempotency.NO_SIDE_EFFECTS ? createRequestCache(parse) : parse,
    invoke,
    weigh: response => parts.weigh(create(output, response as MessageInit)),
    encode: (response, binary) => encoder.encode(create(output, response as MessageInit), binary),
  };
}

type MessageInit = Record<string, unknown>;
