import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { type DescMethod, type Message, toBinary } from '@bufbuild/protobuf';
import { Code, createContextValues } from '@connectrpc/connect';
import type { UniversalHandler, UniversalServerResponse } from '@connectrpc/connect/protocol';
import { codeToHttpStatus } from '@connectrpc/connect/protocol-connect';
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node';
import { type ResponseSender, responseSenderKey } from '#src/posts/api/watch-responses.ts';
import { UNSENT_MAX_BYTES, writeHttp2Response } from '#src/rpc/adapter/http2-response.ts';
import { inPieces } from '#src/rpc/adapter/large-adapted-answers.ts';
import { type RequestLimits, strictRequest } from '#src/rpc/adapter/strict-requests.ts';
import { type Format, formatOf } from '#src/rpc/media-type.ts';
import { callKey } from '#src/rpc/outcome.ts';
import { answerUnquotable, explainProtocolError, type ProtocolErrorOptions } from '#src/rpc/protocol-error.ts';
import { createJsonWriter } from '#src/rpc/unary/codec/json-writer.ts';
import type { CallRecord } from '#src/wire/call-record.ts';
import { EncodedMessage } from '#src/wire/encoded-message.ts';

/** Answers a normalized POST through @connectrpc/connect-node, and writes what it learns of the call into `call`, which names the route. */
export type ConnectAdapter = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
  call: CallRecord,
) => void;

export interface ConnectAdapterOptions extends RequestLimits {
  /** Aborted with a ConnectError when the server stops waiting for calls to end. */
  readonly shutdownSignal: AbortSignal;
  readonly protocolErrors?: ProtocolErrorOptions;
}

/** Adds to the library's handlers: strict decoding, limits that apply at once, and errors in our words. */
export function createConnectAdapter(
  handlers: readonly UniversalHandler[],
  options: ConnectAdapterOptions,
): ConnectAdapter {
  const byPath = new Map<string, UniversalHandler>(handlers.map(handler => [handler.requestPath, handler]));
  const streams = new Map(
    handlers
      .filter(({ method }) => method.methodKind === 'server_streaming')
      .map(({ requestPath, method }) => [requestPath, new DirectResponses(method)]),
  );
  // The library would have each call listen to one signal. With thousands of streams, each new listener is compared with all others.
  const running = new Set<AbortController>();
  options.shutdownSignal.addEventListener('abort', () => {
    for (const ending of running) ending.abort(options.shutdownSignal.reason);
  });
  const encodings = options.acceptCompression.map(compression => compression.name);

  return (request, response, call) => {
    const handler = byPath.get(`/${call.procedure}`);
    if (handler === undefined) throw new Error(`there is no handler for ${call.procedure}`);
    const contentType = request.headers['content-type'] ?? '';
    const format = formatOf(contentType);
    if (format === undefined) throw new Error(`there is no format for ${contentType}`);
    call.protocol = format.protocol === 'connect-stream' ? 'connect' : format.protocol;
    const values = createContextValues().set(callKey, call);
    const stream = streams.get(handler.requestPath);
    if (stream !== undefined) values.set(responseSenderKey, stream.to(response, format.binary));
    const ending = new AbortController();
    if (options.shutdownSignal.aborted) ending.abort(options.shutdownSignal.reason);
    running.add(ending);
    // connect-node does not always report the end of the answer.
    response.once('close', () => {
      running.delete(ending);
      call.held?.giveBack();
    });
    void (async () => {
      try {
        const given = universalRequestFromNodeRequest(request, response as ServerResponse, undefined, values);
        const { signal } = given;
        if (signal.aborted) ending.abort(signal.reason);
        else signal.addEventListener('abort', () => ending.abort(signal.reason), { once: true });
        const strict = strictRequest({ ...given, signal: ending.signal }, format, handler.method, options);
        const whole = await handler(strict).then(
          given => explainProtocolError(withAcceptedEncodings(given, format, encodings), call, options.protocolErrors),
          error => {
            if (!(error instanceof URIError) || call.code !== undefined) throw error;
            return answerUnquotable(contentType, call, options.protocolErrors);
          },
        );
        const answer = inPieces(whole, call, () => cut(response, constants.NGHTTP2_CANCEL));
        if ('stream' in response) await writeHttp2Response(answer, response);
        else await universalResponseToNodeResponse(answer, response);
      } catch (error) {
        // The client went away, or a handler's frame has a fault. In both cases nobody can be told.
        call.cause ??= error;
        cut(response, constants.NGHTTP2_INTERNAL_ERROR);
      }
    })();
  };
}

/** Names the accepted encodings of a request that had another one, which connect-node does not. */
function withAcceptedEncodings(
  answer: UniversalServerResponse,
  format: Format,
  names: readonly string[],
): UniversalServerResponse {
  const header = new Headers(answer.header);
  switch (format.protocol) {
    case 'grpc':
      if (answer.trailer?.get('grpc-status') !== String(Code.Unimplemented)) return answer;
      header.set('grpc-accept-encoding', ['identity', ...names].join(','));
      break;
    case 'grpc-web':
      header.set('grpc-accept-encoding', ['identity', ...names].join(','));
      break;
    case 'connect-stream':
      header.set('connect-accept-encoding', names.join(', '));
      break;
    default:
      if (answer.status !== codeToHttpStatus(Code.Unimplemented)) return answer;
      header.set('accept-encoding', names.join(', '));
  }
  return { ...answer, header };
}

/**
 * Ends a response that cannot be finished, or that its client does not read. Clients wait for ever on an HTTP/2 stream that ends without an
 * error.
 */
function cut(response: ServerResponse | Http2ServerResponse, code: number): void {
  if ('stream' in response) response.stream.close(code);
  else response.destroy();
}

/**
 * Makes the senders of an RPC with a stream of responses. All protocols use the same envelope for a message.
 *
 * A frozen message does not change, so its envelope is made once for all receivers. None is large, because changes of posts have no
 * content.
 */
export class DirectResponses {
  readonly #binary = new WeakMap<Message, Buffer>();
  readonly #json = new WeakMap<Message, Buffer>();
  readonly #encode: (message: Message, binary: boolean) => Uint8Array | string;

  constructor({ output }: DescMethod) {
    const toJson = createJsonWriter(output);
    this.#encode = (message, binary) => (binary ? toBinary(output, message) : toJson(message));
  }

  /** @param binary whether messages are protobuf. Otherwise they are JSON. */
  to(response: ServerResponse | Http2ServerResponse, binary: boolean): ResponseSender {
    const write = 'stream' in response ? writeHttp2 : writeHttp1;
    return { send: message => write(response as never, this.#envelope(message, binary)) };
  }

  #envelope(message: Message, binary: boolean): Buffer {
    const made = binary ? this.#binary : this.#json;
    const known = made.get(message);
    if (known !== undefined) return known;
    const lasting = Object.isFrozen(message);
    const { envelope } = new EncodedMessage(this.#encode(message, binary), { lasting });
    if (lasting) made.set(message, envelope);
    return envelope;
  }
}

function writeHttp1(response: ServerResponse, bytes: Buffer): Promise<void> | undefined {
  if (response.destroyed || response.write(bytes)) return undefined;
  return new Promise(resolve => {
    const settle = () => {
      response.off('drain', settle);
      response.off('close', settle);
      resolve();
    };
    response.on('drain', settle);
    response.on('close', settle);
  });
}

function writeHttp2({ stream }: Http2ServerResponse, bytes: Buffer): Promise<void> | undefined {
  if (stream.destroyed) return undefined;
  if (stream.writableLength + bytes.length <= UNSENT_MAX_BYTES) {
    stream.write(bytes);
    return undefined;
  }
  return new Promise(resolve => {
    stream.write(bytes, () => resolve());
  });
}
