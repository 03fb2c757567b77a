import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connectionOfSocket, type HttpRequest } from '#src/http/connection.ts';
import { closeLingering } from '#src/http/lingering-close.ts';
import { REFUSALS, type Refusal } from '#src/http/refusal.ts';
import { refuseOnSocket } from '#src/http/refuse.ts';
import type { RequestIds } from '#src/http/request-id.ts';
import { createAccessLog } from '#src/observability/access-log.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';
import { readHttp1Head } from '#src/rpc/unary/request-head.ts';

/** Answers, logs and counts what came on an HTTP/1.1 connection and has no response object. */
export interface SocketRefusal {
  /** For what came in place of a request that can be read. Closes the connection. */
  readonly refuseSocket: (
    socket: Duplex,
    error: Error & { readonly code?: string; readonly rawPacket?: Buffer },
  ) => void;
  /** For CONNECT, for which Node gives no response object. Closes the connection. */
  readonly refuseTunnel: (request: HttpRequest, socket: Duplex) => void;
}

export function createSocketRefusal(
  log: Logger,
  metrics: Pick<Metrics, 'nonRpcEnded'>,
  ids: RequestIds,
): SocketRefusal {
  const accessLog = createAccessLog(log);

  function refuse(socket: Duplex, refusal: Refusal, request: HttpRequest | undefined, mute = false): void {
    const connection = connectionOfSocket(socket);
    const head = readHttp1Head(request?.method ?? '', request?.url ?? '', request?.rawHeaders ?? []);
    const id = ids.of(head);
    if (connection !== undefined) connection.closing = true;
    socket.on('error', () => {});
    if (mute) socket.end();
    else refuseOnSocket(socket, refusal, id);
    metrics.nonRpcEnded(refusal.reason, refusal.status);
    accessLog.write({
      id,
      method: head.method,
      path: head.target,
      httpVersion: request?.httpVersion ?? '1.1',
      protocol: undefined,
      procedure: undefined,
      code: undefined,
      refused: refusal.reason,
      status: refusal.status,
      durationMs: 0,
      bytesIn: 0,
      bytesOut: mute ? 0 : Buffer.byteLength(refusal.body),
      remoteAddress: connection?.remoteAddress ?? '',
      userAgent: head.userAgent,
      aborted: false,
      adapted: false,
      sampled: 1,
      cause: undefined,
    });
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
        if (connection.latestResponse?.headersSent) socket.destroy();
        else {
          refuseOnSocket(socket, refusalFor(error), ids.next());
          closeLingering(socket as Socket);
        }
        return;
      }
      refuse(socket, refusalFor(error), undefined, connection.latestResponse === undefined && isBadPreface(error));
    },
    refuseTunnel: (request, socket) => refuse(socket, REFUSALS.tunnel, request),
  };
}

function isGone({ code }: { readonly code?: string }): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNABORTED' || code === 'ETIMEDOUT';
}

/**
 * Whether the first line is like HTTP/2's preface, and names another protocol than HTTP: its client does not wait for an answer of HTTP/1.1.
 * It is a bad preface, after which the connection closes (RFC 9113, 3.4).
 */
function isBadPreface({ code, rawPacket }: { readonly code?: string; readonly rawPacket?: Buffer }): boolean {
  return code === 'HPE_INVALID_METHOD' && /^\S+ \S+ (?!HTTP\/)\S+\r\n/.test(rawPacket?.toString('latin1') ?? '');
}

function refusalFor({ code }: { readonly code?: string }): Refusal {
  if (code === 'HPE_HEADER_OVERFLOW') return REFUSALS.headersTooLarge;
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return REFUSALS.chunkExtensions;
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return REFUSALS.tooSlow;
  return REFUSALS.malformed;
}
