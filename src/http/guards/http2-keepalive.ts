import type { ConnectionCheck, ConnectionEnded } from '#src/http/guards/connection-sweeper.ts';
import type { Connection } from '#src/wire/connection.ts';

export interface Http2KeepaliveTimes {
  /** The silence after which a client gets a ping, in milliseconds. */
  readonly idlePingMs: number;
  /** The same for a client that has sent bytes which made no request. */
  readonly unprovenPingMs: number;
  /** The time limit of its answer. */
  readonly pongWithinMs: number;
}

/**
 * Ends HTTP/2 connections whose client is gone, or stops within a frame or a header, because it cannot answer a ping then.
 *
 * A new request, or the answer to a ping, shows that the client is there. Bytes alone do not: they may begin a header that never ends, for
 * which Node has no time limit.
 */
export function createHttp2Keepalive(times: Http2KeepaliveTimes, ended: ConnectionEnded): ConnectionCheck {
  const proofs = new WeakMap<Connection, Proof>();

  return (connection, now) => {
    const { session, socket, streamsOpened } = connection;
    if (session === undefined || session.destroyed) return;
    let proof = proofs.get(connection);
    if (proof === undefined) {
      proof = { at: now, streamsOpened, bytesRead: socket.bytesRead, pingedAt: undefined };
      proofs.set(connection, proof);
    }
    if (proof.pingedAt !== undefined) {
      if (now - proof.pingedAt < times.pongWithinMs) return;
      ended('NO_PONG');
      session.destroy();
      return;
    }
    if (proof.streamsOpened !== streamsOpened) {
      Object.assign(proof, { at: now, streamsOpened, bytesRead: socket.bytesRead });
      return;
    }
    const quietMs = now - proof.at;
    const unproven = socket.bytesRead !== proof.bytesRead && quietMs >= times.unprovenPingMs;
    if (!unproven && quietMs < times.idlePingMs) return;
    const known = proof;
    const sent = session.ping(error => {
      if (error !== null) return;
      // Bytes that came in one piece with the answer are checked again after the next silence.
      Object.assign(known, { at: performance.now(), bytesRead: socket.bytesRead, pingedAt: undefined });
    });
    if (sent) proof.pingedAt = now;
  };
}

interface Proof {
  at: number;
  streamsOpened: number;
  bytesRead: number;
  /** Unset: no answer is expected. */
  pingedAt: number | undefined;
}
