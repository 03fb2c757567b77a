import { IncomingMessage, ServerResponse } from 'node:http';
import { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { announceUnreadBody } from '#src/http/unread-body.ts';

/**
 * An HTTP/1.1 request whose connection outlives a reader of the body that gives up. Node's own destroys the connection
 * then, so that the client of a body that is too large would see a reset and no answer.
 */
export class Http1Request extends IncomingMessage {
  override [Symbol.asyncIterator]() {
    return this.iterator({ destroyOnReturn: false });
  }
}

/** An HTTP/1.1 response that says `Connection: close` where so much of the request's body is left that it is not read off. */
export class Http1Response extends ServerResponse<Http1Request> {
  // Node calls it too, where the head is implied.
  override writeHead(...args: unknown[]): this {
    announceUnreadBody(this);
    return super.writeHead(...(args as [number]));
  }
}

/** An HTTP/2 request that counts the bytes of its body. */
export class Http2Request extends Http2ServerRequest {
  bytesRead = 0;

  override push(chunk: Uint8Array | null, encoding?: BufferEncoding): boolean {
    if (chunk !== null) this.bytesRead += chunk.byteLength;
    return super.push(chunk, encoding);
  }

  override [Symbol.asyncIterator]() {
    return this.iterator({ destroyOnReturn: false });
  }
}

/** An HTTP/2 response that counts the bytes of its body. */
export class Http2Response extends Http2ServerResponse<Http2Request> {
  bytesWritten = 0;

  // Node's `end(chunk)` calls this too.
  override write(chunk: string | Uint8Array, ...rest: unknown[]): boolean {
    this.bytesWritten += typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.byteLength;
    return super.write(chunk, ...(rest as []));
  }
}
