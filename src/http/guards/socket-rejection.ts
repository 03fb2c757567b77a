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

/** Answers, logs and counts what came on an HTTP/1.1 connection and has no response object. */
export interface SocketRejection {
  /** For what came in place of a request that can be read. Closes the connection. */
  readonly refuseSocket: (socket: Duplex, error: ParserError) => void;
  /** For CONNECT, for which Node gives no response object. Closes the connection. */
  readonly refuseTunnel: (request: HttpRequest, socket: Duplex) => void;
}

/** @param onEnd called with the record of what was refused. */
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
      // What comes after the last answer is no request.
      if (connection?.closing) return;
      // A connection that went away, or never sent anything, has made no request.
      if (!socket.writable || connection === undefined || connection.socket.bytesRead === 0 || isGone(error)) {
        socket.destroy();
        return;
      }
      if (connection.answering) {
        // The call that this belongs to has its own line; nothing may be written into the middle of its response.
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
 * Whether the first line is like HTTP/2's preface, and names another protocol than HTTP: its client does not wait for an answer of HTTP/1.1.
 * It is a bad preface, after which the connection closes (RFC 9113, 3.4).
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

/** The content type of a request whose head the parser gave up: it is in the same piece of bytes in most cases. */
function contentTypeIn({ rawPacket }: ParserError): string | undefined {
  return /^content-type:[ \t]*([^\r\n]*)/im.exec(rawPacket?.toString('latin1') ?? '')?.[1];
}

/** A length that the parser can't hold: above 2^64 - 1, which has 20 digits. */
const OVERFLOWN_LENGTH = /^content-length:[ \t]*\d{20,}[ \t]*\r?$/im;

/** What Node says of bytes that it could not read. */
interface ParserError extends Error {
  readonly code?: string;
  /** The bytes in which the parser stopped. */
  readonly rawPacket?: Buffer;
}
