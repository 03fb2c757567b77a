import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Writable } from 'node:stream';
import type { Rejection } from '#src/rpc/rejection.ts';
import { answerRejection } from '#src/rpc/rejection-answer.ts';
import type { HttpRequest, HttpResponse } from '#src/wire/connection.ts';
import { Http1Response } from '#src/wire/http-messages.ts';

/**
 * Answers a request with a rejection in its caller's protocol. Cuts off a response that has already begun.
 *
 * @param bare whether the answer is only a status.
 */
export function refuse(request: HttpRequest, response: HttpResponse, refusal: Rejection, bare = false): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  // A client that sends such bytes may be out of step with us, so nothing more is read from that connection.
  if (refusal.status === 400 && !hasBody(request)) (response as ServerResponse).shouldKeepAlive = false;
  const answer = answerRejection(refusal, request.headers['content-type'], 'stream' in request);
  const { fields, body } = bare ? { fields: refusal.fields, body: undefined } : answer;
  for (let i = 0; i < fields.length; i += 2) response.setHeader(fields[i] as string, fields[i + 1] as string);
  response.statusCode = bare ? refusal.status : answer.status;
  if (body !== undefined) response.setHeader('content-length', body.byteLength);
  if (body === undefined || request.method === 'HEAD') {
    response.end();
    return;
  }
  if (response instanceof Http1Response) response.bytesWritten = body.byteLength;
  response.end(body);
}

/**
 * Answers on a bare HTTP/1.1 connection, which has no response object, and half-closes it.
 *
 * @param contentType of the request, if its head has arrived.
 */
export function rejectOnSocket(
  socket: Writable,
  refusal: Rejection,
  requestId: string,
  contentType: string | undefined,
): void {
  const { status, fields, body = EMPTY } = answerRejection(refusal, contentType, false);
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`];
  const add = (name: string, value: string) => lines.push(`${name}: ${value}`);
  add('date', new Date().toUTCString());
  add('connection', 'close');
  add('x-request-id', requestId);
  add('x-content-type-options', 'nosniff');
  for (let i = 0; i < fields.length; i += 2) add(fields[i] as string, fields[i + 1] as string);
  add('content-length', String(body.byteLength));
  socket.end(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body]));
}

function hasBody(request: HttpRequest): boolean {
  return request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
}

const EMPTY = new Uint8Array();
