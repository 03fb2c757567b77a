import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Writable } from 'node:stream';
import type { HttpRequest, HttpResponse } from '#src/http/connection.ts';
import { Http1Response } from '#src/http/http-messages.ts';
import { REFUSALS, type Refusal } from '#src/http/refusal.ts';

/**
 * Answers a request with a refusal: JSON, or for a gRPC client at an unknown path what gRPC has for that. Where the
 * response has begun already, it is cut off.
 *
 * @param bare whether the answer is the status alone.
 */
export function refuse(request: HttpRequest, response: HttpResponse, refusal: Refusal, bare = false): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const contentType = request.headers['content-type'];
  if (refusal === REFUSALS.unknownPath && contentType?.startsWith('application/grpc')) {
    response.setHeader('content-type', contentType.split(';', 1)[0] as string);
    response.setHeader('grpc-status', GRPC_UNIMPLEMENTED);
    response.setHeader('grpc-message', 'nothing is served at this path');
    response.statusCode = 200;
    response.end();
    return;
  }
  // Who sends what no client of ours sends may be out of step with us: nothing more is read from that connection.
  if (refusal.status === 400 && !hasBody(request)) (response as ServerResponse).shouldKeepAlive = false;
  if (refusal === REFUSALS.badMethod) response.setHeader('allow', 'GET, HEAD, OPTIONS, POST');
  response.statusCode = refusal.status;
  // Without a body, no flow control can make us keep what was too large already.
  const tooLarge = refusal === REFUSALS.headersTooLarge || refusal === REFUSALS.urlTooLong;
  if (bare || ('stream' in request && tooLarge)) {
    response.end();
    return;
  }
  response.setHeader('content-type', 'application/json');
  const length = Buffer.byteLength(refusal.body);
  response.setHeader('content-length', length);
  if (response instanceof Http1Response) response.bytesWritten = length;
  response.end(refusal.body);
}

/** Answers on a bare HTTP/1.1 connection, where there is no request that a response could belong to, and half-closes it. */
export function refuseOnSocket(socket: Writable, refusal: Refusal, requestId: string): void {
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n` +
      `date: ${new Date().toUTCString()}\r\n` +
      'connection: close\r\n' +
      `x-request-id: ${requestId}\r\n` +
      'x-content-type-options: nosniff\r\n' +
      'content-type: application/json\r\n' +
      `content-length: ${Buffer.byteLength(refusal.body)}\r\n\r\n${refusal.body}`,
  );
}

function hasBody(request: HttpRequest): boolean {
  return request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
}

/** https://grpc.io/docs/guides/status-codes */
const GRPC_UNIMPLEMENTED = '12';
