import type { Http2ServerResponse } from 'node:http2';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';

/**
 * Writes a response over HTTP/2, as connect-node's universalResponseToNodeResponse does, and takes the next message only when little is
 * unsent. connect-node has Node keep 64 KiB for each stream whose reader is slow, and makes as many messages for it.
 *
 * @throws what the response's body throws; the error of the stream where it can't be written to any more.
 */
export async function writeHttp2Response(
  answer: UniversalServerResponse,
  response: Http2ServerResponse,
): Promise<void> {
  const chunks = answer.body?.[Symbol.asyncIterator]();
  let isWriting = false;
  try {
    let chunk = await chunks?.next();
    isWriting = true;
    if (chunk?.done !== false && isErrorAlone(answer)) {
      // An error without a message before it is one block ("Trailers-Only"). Some clients stop sending their body once an answer has begun, and
      // would never see its end.
      response.statusCode = answer.status;
      for (const [name, value] of [...(answer.header ?? []), ...(answer.trailer ?? [])])
        response.setHeader(name, value);
      // Node lets the fields end the stream where they were not written before.
      response.end();
      return;
    }
    // After the first message, until which a handler may set fields of the header.
    response.writeHead(answer.status, toFields(answer.header));
    while (chunk !== undefined && !chunk.done) {
      await write(response, chunk.value);
      isWriting = false;
      chunk = await chunks?.next();
      isWriting = true;
    }
    response.addTrailers(toFields(answer.trailer));
    response.end();
  } catch (error) {
    // Whoever makes the messages hears of it where it gave the last one.
    if (isWriting) void chunks?.throw?.(error).catch(() => {});
    throw error;
  } finally {
    void chunks?.return?.().catch(() => {});
  }
}

/** Settles at once while little is unsent, and else when all of it was sent. */
function write(response: Http2ServerResponse, bytes: Uint8Array): Promise<void> | undefined {
  const { stream } = response;
  if (stream.destroyed) throw new Error('the stream has ended');
  if (stream.writableLength + bytes.length <= UNSENT_MAX_BYTES) {
    response.write(bytes);
    return undefined;
  }
  return new Promise((resolve, reject) => {
    response.write(bytes, error => (error ? reject(error) : resolve()));
  });
}

function toFields(header: Headers | undefined): Record<string, string> {
  return Object.fromEntries(header ?? []);
}

/** Whether this is an error of gRPC whose handler has set no field of the header: for the client it would be a trailer then. */
function isErrorAlone({ header, trailer }: UniversalServerResponse): boolean {
  if ((trailer?.get('grpc-status') ?? '0') === '0') return false;
  return [...(header?.keys() ?? [])].every(name => name === 'content-type' || name.startsWith('grpc-'));
}

/** A few messages, so that what a reader takes is there before it asks. */
export const UNSENT_MAX_BYTES = 4096;
