import type { Message } from '@bufbuild/protobuf';
import type { MessageParts } from '#src/rpc/unary/codec/message-parts.ts';
import { EncodedMessage } from '#src/wire/encoded-message.ts';
import type { AnswerMessage } from '#src/wire/http-exchange.ts';
import { StreamedMessage } from '#src/wire/streamed-message.ts';

/**
 * Encodes messages of one type. A frozen message does not change, so its bytes are kept as long as it lives. A repeated answer is neither
 * encoded nor copied again.
 */
export class MessageEncoder {
  readonly #binary = new WeakMap<object, EncodedMessage>();
  readonly #json = new WeakMap<object, EncodedMessage>();
  readonly #toBinary: (message: Message) => Uint8Array;
  readonly #toJson: (message: Message) => string;
  readonly #parts: MessageParts;

  constructor(encode: MessageFormat) {
    this.#toBinary = encode.toBinary;
    this.#toJson = encode.toJson;
    this.#parts = encode.parts;
  }

  encode(message: Message, binary: boolean): AnswerMessage {
    if (this.#parts.weigh(message) >= STREAMED_FROM && this.#parts.isWellFormed(message)) {
      return new StreamedMessage(binary ? this.#parts.binary(message) : this.#parts.json(message));
    }
    if (!Object.isFrozen(message)) return this.#encode(message, binary, false);
    const remembered = binary ? this.#binary : this.#json;
    let encoded = remembered.get(message);
    if (encoded === undefined) {
      encoded = this.#encode(message, binary, true);
      remembered.set(message, encoded);
    }
    return encoded;
  }

  #encode(message: Message, binary: boolean, lasting: boolean): EncodedMessage {
    return new EncodedMessage(binary ? this.#toBinary(message) : this.#toJson(message), { lasting });
  }
}

/** The formats of one message type. */
export interface MessageFormat {
  readonly toBinary: (message: Message) => Uint8Array;
  readonly toJson: (message: Message) => string;
  readonly parts: MessageParts;
}

/** In UTF-16 code units of long texts. Shorter messages are encoded quickly, and worth keeping. */
const STREAMED_FROM = 256 * 1024;
