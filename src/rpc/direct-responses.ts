import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import { type DescMethod, toBinary } from '@bufbuild/protobuf';
import type { ResponseSender } from '#src/posts/response-sender.ts';
import { UNSENT_MAX_BYTES } from '#src/rpc/http2-response.ts';
import { MessageEncoder } from '#src/rpc/unary/encoded-message.ts';
import { createJsonWriter } from '#src/rpc/unary/json-writer.ts';

/** Makes the senders of one RPC with a stream of responses. All protocols put the same envelope around a message. */
export class DirectResponses {
  readonly #encoder: MessageEncoder;

  constructor({ output }: DescMethod) {
    this.#encoder = new MessageEncoder({
      toBinary: message => toBinary(output, message),
      toJson: createJsonWriter(output),
    });
  }

  /** @param binary whether messages are protobuf, or else JSON. */
  to(response: ServerResponse | Http2ServerResponse, binary: boolean): ResponseSender {
    const write = 'stream' in response ? writeHttp2 : writeHttp1;
    return { send: message => write(response as never, this.#encoder.encode(message, binary).envelope) };
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
