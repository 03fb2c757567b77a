import { Code, ConnectError } from '@connectrpc/connect';

/**
 * Passes the body of a request on, which is a row of messages, each behind a byte of flags and four of its length, and refuses one with
 * flags that no client may set. Of a request only the lowest bit has a meaning, "compressed", in gRPC, gRPC-Web and Connect.
 *
 * Without this a message with other flags would be read as if it had none, and an extension that the client relies on be ignored.
 *
 * @throws ConnectError INVALID_ARGUMENT, in place of the chunk that has the flags.
 */
export async function* withKnownFlags(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const prefix = Buffer.alloc(PREFIX_LENGTH);
  let prefixRead = 0;
  let messageLeft = 0;
  for await (const chunk of body) {
    let at = 0;
    while (at < chunk.length) {
      if (prefixRead === PREFIX_LENGTH) {
        const taken = Math.min(messageLeft, chunk.length - at);
        messageLeft -= taken;
        at += taken;
      } else {
        const byte = chunk[at++] as number;
        if (prefixRead === 0 && byte > COMPRESSED) {
          throw new ConnectError(`the flags of a message must be 0 or 1, not ${byte}`, Code.InvalidArgument);
        }
        prefix[prefixRead++] = byte;
        if (prefixRead === PREFIX_LENGTH) messageLeft = prefix.readUInt32BE(1);
      }
      if (prefixRead === PREFIX_LENGTH && messageLeft === 0) prefixRead = 0;
    }
    yield chunk;
  }
}

const PREFIX_LENGTH = 5;
const COMPRESSED = 1;
