import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';

/**
 * Detects an HTTP/2 session that floods the server with pings or settings, which each cost an answer and lead to no call.
 *
 * nghttp2 itself ends sessions that do not read the answers, or that send endless headers or invalid frames. stream-resets.ts counts
 * resets.
 *
 * Pings during a response are free, because gRPC clients in Go use them to measure the line.
 */
export function guardFromControlFlood(session: ServerHttp2Session, socket: Socket, flooded: () => void): void {
  let tokens = CONTROL_FRAMES_BURST;
  let refilledAt = performance.now();
  let writtenBefore = socket.bytesWritten;

  const onControlFrame = () => {
    const written = socket.bytesWritten;
    const isOnlyAnswered = written - writtenBefore <= ANSWER_BYTES;
    writtenBefore = written;
    if (!isOnlyAnswered || --tokens > 0) return;
    const now = performance.now();
    tokens = Math.min(CONTROL_FRAMES_BURST, ((now - refilledAt) / 1000) * CONTROL_FRAMES_PER_SECOND);
    refilledAt = now;
    if (tokens >= 1) return;
    flooded();
  };
  session.on('ping', onControlFrame);
  session.on('remoteSettings', onControlFrame);
}

/** The same as nghttp2's limit of resets. A client pings at most once a second, and rarely changes its settings. */
const CONTROL_FRAMES_BURST = 1000;
const CONTROL_FRAMES_PER_SECOND = 33;
/** RFC 9113, 6.7: the size of a ping's answer. The answer to settings is shorter. */
const ANSWER_BYTES = 17;
