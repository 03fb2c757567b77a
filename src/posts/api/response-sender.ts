import type { Message } from '@bufbuild/protobuf';
import { createContextKey } from '@connectrpc/connect';

/**
 * Sends responses of a stream straight to its client, past the stages that the library has for each message of each stream, which take most
 * of the time. A frozen message is encoded once for all streams.
 *
 * A handler may use it between two responses that it yields, of which the first one begins the answer.
 */
export interface ResponseSender {
  /** Undefined where the client takes what it gets; else resolves when it has, or is gone. */
  send(response: Message): Promise<void> | undefined;
}

/** Where a handler finds it; undefined: all responses are to be yielded. */
export const responseSenderKey = createContextKey<ResponseSender | undefined>(undefined, {
  description: 'response sender',
});
