import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import { type DescMethod, type Message, toBinary } from '@bufbuild/protobuf';
import type { ResponseSender } from '#src/posts/api/watch-responses.ts';
import { UNSENT_MAX_BYTES } from '#src/rpc/adapter/http2-response.ts';
import { createJsonWriter } from '#src/rpc/unary/codec/json-writer.ts';
import { EncodedMessage } from '#src/wire/encoded-message.ts';

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
