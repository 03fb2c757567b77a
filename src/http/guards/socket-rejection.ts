import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex, Writable } from 'node:stream';
import type { RequestIds } from '#src/http/request-id.ts';
import { answerRejection, REJECTIONS, type Rejection } from '#src/rpc/rejection.ts';
import { CallRecord } from '#src/wire/call-record.ts';
import { connectionOfSocket, type HttpRequest, type HttpResponse } from '#src/wire/connection.ts';
import { Http1Response } from '#src/wire/http-messages.ts';
import { readHttp1Head } from '#src/wire/request-head.ts';
import { closeLingering } from '#src/wire/unread-body.ts';

/** Refuses HTTP/1.1 requests for which Node creates no response object. */
export interface SocketRejection {
  /** Answers bytes that the parser could not read as a request. Closes the connection. */
  readonly refuseSocket: (socket: Duplex, error: ParserError) => void;
  /** Answers CONNECT. Closes the connection. */
  readonly refuseTunnel: (request: HttpRequest, socket: Duplex) => void;
}

/** @param onEnd called with the record of each refused request. */
export function createSocketRejection(ids: RequestIds, onEnd: (call: CallRecord) => void): SocketRejection {
  function refuse(
    socket: Duplex,
    refusal: Rejection,
    request: HttpRequest | undefined,
    contentType: string | undefined,
    isMute = false,
  ): void {
    const connection = connectionOfSocket(socket);
    const head = readHttp1Head(request?.method ?? '', request?.url ?? '', request?.rawHeaders ?? []);
    const call = new CallRecord(ids.of(head), head, request?.httpVersion ?? '1.1', connection, onEnd);
    call.refusal = refusal;
    if (connection !== undefined) connection.closing = true;
    socket.on('error', () => {});
    if (isMute) socket.end();
    else rejectOnSocket(socket, refusal, call.id, contentType);
    const bytesWritten = isMute ? 0 : (answerRejection(refusal, contentType, false).body?.byteLength ?? 0);
    call.end(refusal.status, 0, bytesWritten, false);
    closeLingering(socket as Socket);
  }

  return {
    refuseSocket(socket, error) {
      const connection = connectionOfSocket(socket);
      // Bytes after the last response are not a request.
      if (connection?.closing) return;
      // A connection that is gone, or that never sent a byte, has made no request.
      if (!socket.writable || connection === undefined || connection.socket.bytesRead === 0 || isGone(error)) {
        socket.destroy();
        return;
      }
      if (connection.answering) {
        // The call in progress has its own log line, and nothing may be written into the middle of its response.
        connection.closing = true;
        const { latestResponse } = connection;
        if (latestResponse?.headersSent) socket.destroy();
        else {
          const contentType = latestResponse?.req.headers['content-type'];
          rejectOnSocket(socket, refusalFor(error), ids.next(), contentType);
          closeLingering(socket as Socket);
        }
        return;
      }
      const isMute = connection.latestResponse === undefined && isBadPreface(error);
      refuse(socket, refusalFor(error), undefined, contentTypeIn(error), isMute);
    },
    refuseTunnel: (request, socket) => refuse(socket, REJECTIONS.tunnel, request, undefined),
  };
}

function isGone({ code }: { readonly code?: string }): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNABORTED' || code === 'ETIMEDOUT';
}

/**
 * Whether the first line looks like the HTTP/2 preface, but names another protocol than HTTP. After a bad preface the connection closes
 * (RFC 9113, 3.4), and its client expects no HTTP/1.1 response.
 */
function isBadPreface({ code, rawPacket }: ParserError): boolean {
  return code === 'HPE_INVALID_METHOD' && /^\S+ \S+ (?!HTTP\/)\S+\r\n/.test(rawPacket?.toString('latin1') ?? '');
}

function refusalFor({ code, rawPacket }: ParserError): Rejection {
  if (code === 'HPE_HEADER_OVERFLOW') return REJECTIONS.headersTooLarge;
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return REJECTIONS.chunkExtensions;
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return REJECTIONS.tooSlow;
  if (code === 'HPE_INVALID_TRANSFER_ENCODING') return REJECTIONS.transferCoding;
  if (code === 'HPE_INVALID_CONTENT_LENGTH' && OVERFLOWN_LENGTH.test(rawPacket?.toString('latin1') ?? '')) {
    return REJECTIONS.messageTooLarge;
  }
  return REJECTIONS.malformed;
}

/** The content type of a request whose head could not be parsed. The parser's last bytes contain it in most cases. */
function contentTypeIn({ rawPacket }: ParserError): string | undefined {
  return /^content-type:[ \t]*([^\r\n]*)/im.exec(rawPacket?.toString('latin1') ?? '')?.[1];
}

/** A length that overflows the parser: above 2^64 - 1, which has 20 digits. */
const OVERFLOWN_LENGTH = /^content-length:[ \t]*\d{20,}[ \t]*\r?$/im;

/** The error of Node's HTTP parser. */
interface ParserError extends Error {
  readonly code?: string;
  /** The chunk in which the parser stopped. */
  readonly rawPacket?: Buffer;
}

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
