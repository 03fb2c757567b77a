import { constants, type ServerHttp2Session } from 'node:http2';
import { HTTP2_LIMITS } from '#src/http/guards/limits.ts';
import type { Connection } from '#src/wire/connection.ts';

/** Why nghttp2 ended a session; undefined: its client has closed it. */
export type SessionErrorReason = 'FLOOD' | 'PROTOCOL_ERROR' | undefined;

/**
 * Answers a session that nghttp2 ends with the right code, and reports the reason.
 *
 * Node answers INTERNAL_ERROR where nghttp2 gives no code: to a bad preface, which is a PROTOCOL_ERROR (RFC 9113, 3.4), and to floods. The
 * session's calls are cancelled, as when its client leaves in another way.
 *
 * @returns a function that gives the reason, for the error of `sessionError`.
 */
export function nameSessionErrors(
  session: ServerHttp2Session,
  { socket, openStreams }: Connection,
): (error: Http2SessionError) => SessionErrorReason {
  const { destroy } = session;
  let writtenBefore = 0;
  let isFull = false;
  session.destroy = (error?: Error | number, code?: number) => {
    writtenBefore = socket.bytesWritten;
    isFull = openStreams.size >= HTTP2_LIMITS.settings.maxConcurrentStreams;
    destroy.call(session, error as Error, code ?? codeOf(error));
  };
  return error => {
    // nghttp2 has no other code for one stream too many.
    if (isFull || isFlood(error)) return 'FLOOD';
    const beyond = socket.bytesWritten - writtenBefore - ANSWER_TO_CLOSING_CLIENT_BYTES;
    return beyond >= 0 && beyond % PONG_BYTES === 0 ? undefined : 'PROTOCOL_ERROR';
  };
}

export interface Http2SessionError extends Error {
  /** `ERR_HTTP2_ERROR`: an error of nghttp2. */
  readonly code?: string;
  /** Its number in nghttp2 (nghttp2.h, nghttp2_error). */
  readonly errno?: number;
}

/** Whether nghttp2 ended the session, and not its socket. */
export function isOfNghttp2(error: Http2SessionError): boolean {
  return error.code === 'ERR_HTTP2_ERROR' || error.code === 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES';
}

function codeOf(error: Http2SessionError | number | undefined): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if (isFlood(error)) return constants.NGHTTP2_ENHANCE_YOUR_CALM;
  if (error.code !== 'ERR_HTTP2_ERROR') return undefined;
  return error.errno === BAD_CLIENT_MAGIC ? constants.NGHTTP2_PROTOCOL_ERROR : constants.NGHTTP2_CANCEL;
}

function isFlood({ code, errno }: Http2SessionError): boolean {
  if (code === 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES') return true;
  return code === 'ERR_HTTP2_ERROR' && errno !== undefined && FLOODS.has(errno);
}

const BAD_CLIENT_MAGIC = -903;
/** Repeated streams beyond the limit (Node fails the callback), answers that are not read, endless CONTINUATION frames. */
const FLOODS: ReadonlySet<number> = new Set([-902, -904, -905]);

/**
 * gRPC's client in Go (1.64 and later) closes with a GOAWAY that names its own last stream, where RFC 9113, 6.8, requires the server's.
 * nghttp2 treats that as an error, and answers with a GOAWAY whose text has a unique length. Nothing else of it arrives here. Answers to
 * pings that came in one piece with it may leave with it.
 */
const ANSWER_TO_CLOSING_CLIENT_BYTES = 9 + 8 + 'GOAWAY: invalid last_stream_id'.length;
/** RFC 9113, 6.7. */
const PONG_BYTES = 17;
