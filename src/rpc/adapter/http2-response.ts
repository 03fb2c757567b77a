import type { Http2ServerResponse } from 'node:http2';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';

/**
 * Writes a response over HTTP/2, like connect-node's universalResponseToNodeResponse, but takes the next message only when little is
 * unsent. connect-node lets Node buffer 64 KiB for each slow stream, and makes as many messages for it.
 *
 * @throws the error of the response's body; the error of a stream that cannot be written to any more.
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
      // An error without a message before it is one block ("Trailers-Only"). Some clients stop sending their body once an answer has begun,
      // and would never see its end.
      response.statusCode = answer.status;
      for (const [name, value] of [...(answer.header ?? []), ...(answer.trailer ?? [])])
        response.setHeader(name, value);
      // Node ends the stream with the fields, if they were not written before.
      response.end();
      return;
    }
    // After the first message, because until then a handler may set header fields.
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
    // The maker of messages gets the error where it gave the last message.
    if (isWriting) void chunks?.throw?.(error).catch(() => {});
    throw error;
  } finally {
    void chunks?.return?.().catch(() => {});
  }
}

/** Settles at once while little is unsent, and otherwise when all of it was sent. */
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

/** Whether this is a gRPC error whose handler has set no header field. Such a field would become a trailer. */
function isErrorAlone({ header, trailer }: UniversalServerResponse): boolean {
  if ((trailer?.get('grpc-status') ?? '0') === '0') return false;
  return [...(header?.keys() ?? [])].every(name => name === 'content-type' || name.startsWith('grpc-'));
}

/** A few messages, so that the next one is ready when the client reads. */
export const UNSENT_MAX_BYTES = 4096;
