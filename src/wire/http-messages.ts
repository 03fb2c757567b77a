import { ServerResponse } from 'node:http';
import { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Http1Request } from '#src/wire/http1-exchange.ts';
import { announceUnreadBody } from '#src/wire/unread-body.ts';

/**
 * An HTTP/1.1 response that counts its written bytes, not those given to `end`. It says `Connection: close` if too much of the request's
 * body is left to be read.
 */
export class Http1Response extends ServerResponse<Http1Request> {
  bytesWritten = 0;

  // Node calls it too, for an implied head.
  override writeHead(...args: unknown[]): this {
    if (!this.req.complete) announceUnreadBody(this);
    return super.writeHead(...(args as [number]));
  }

  override write(chunk: string | Uint8Array, ...rest: unknown[]): boolean {
    this.bytesWritten += sizeOf(chunk);
    return super.write(chunk, ...(rest as []));
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
    this.bytesWritten += sizeOf(chunk);
    return super.write(chunk, ...(rest as []));
  }
}

function sizeOf(chunk: string | Uint8Array): number {
  return typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.byteLength;
}
