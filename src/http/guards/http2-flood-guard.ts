import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';

/**
 * Watches for an HTTP/2 session that keeps us busy with pings or settings, which cost us an answer each and lead to no call.
 *
 * nghttp2 itself ends those that do not read the answers, send headers without end, or frames that make no sense; stream-resets.ts
 * counts resets.
 *
 * Pings that come while we send a response are free: that is how gRPC's clients in Go measure the line.
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

/** As nghttp2 has it for resets. A client pings each second at most, and changes its settings hardly ever. */
const CONTROL_FRAMES_BURST = 1000;
const CONTROL_FRAMES_PER_SECOND = 33;
/** RFC 9113, 6.7: the answer to a ping; that to settings is shorter. */
const ANSWER_BYTES = 17;
