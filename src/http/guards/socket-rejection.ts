import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { rejectOnSocket } from '#src/http/guards/reject.ts';
import type { RequestIds } from '#src/http/request-id.ts';
import { REJECTIONS, type Rejection } from '#src/rpc/rejection.ts';
import { answerRejection } from '#src/rpc/rejection-answer.ts';
import { CallRecord } from '#src/wire/call-record.ts';
import { connectionOfSocket, type HttpRequest } from '#src/wire/connection.ts';
import { closeLingering } from '#src/wire/lingering-close.ts';
import { readHttp1Head } from '#src/wire/request-head.ts';

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
