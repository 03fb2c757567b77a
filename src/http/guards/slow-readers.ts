import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Writable } from 'node:stream';
import type { ConnectionEnded } from '#src/http/guards/connection-sweeper.ts';
import { goAwayEnhanceYourCalm } from '#src/http/guards/http2-goaway.ts';
import type { Connection } from '#src/wire/connection.ts';

export interface SlowReaderLimits {
  /** How long a client may read nothing of a response, in milliseconds. */
  readonly stallMs: number;
  /** A piece that went to the system at once gets this much more time: its size at this rate, in bytes a second. */
  readonly minBytesPerSecond: number;
  /** Above this many unsent bytes in all, clients that read nothing have only a short time. */
  readonly budgetBytes: number;
}

/**
 * Resets responses whose client reads nothing of them, and with the last one its connection. Each response is held in memory until it has
 * left, and a client needs only a few bytes to request the next one.
 *
 * @returns a check of all connections, to be called every second or more often. @param now `performance.now()`.
 */
export function createSlowReaderGuard(
  limits: SlowReaderLimits,
  ended: ConnectionEnded,
): (connections: Iterable<Connection>, now: number) => void {
  const waits = new WeakMap<Writable, Wait>();

  const look = (writable: Writable, now: number): Wait => {
    const unsent = writable.writableLength;
    let wait = waits.get(writable);
    if (wait === undefined) {
      wait = { unsent, since: now, waiting: true };
      waits.set(writable, wait);
      // With pieces of one size, every check may find the same length.
      const known = wait;
      writable.on('drain', () => {
        known.waiting = false;
      });
    }
    if (!wait.waiting || unsent < wait.unsent) Object.assign(wait, { since: now, waiting: true });
    wait.unsent = unsent;
    return wait;
  };

  return (connections, now) => {
    const late: LateResponse[] = [];
    let total = 0;
    for (const { connection, writable } of unsentResponses(connections)) {
      const { unsent, since } = look(writable, now);
      const waited = now - since;
      const overdue = waited - limits.stallMs - (unsent / limits.minBytesPerSecond) * 1000;
      const isLateUnderPressure = waited >= PRESSED_MS + (unsent / PRESSED_BYTES_PER_SECOND) * 1000;
      total += unsent;
      if (overdue >= 0 || isLateUnderPressure) late.push({ connection, writable, unsent, overdue });
    }
    late.sort((a, b) => b.overdue - a.overdue);
    for (const { connection, writable, unsent, overdue } of late) {
      if (overdue < 0 && total <= limits.budgetBytes) return;
      total -= unsent;
      ended('STALLED');
      endResponse(connection, writable);
    }
  };
}

function* unsentResponses(connections: Iterable<Connection>): Generator<UnsentResponse> {
  for (const connection of connections) {
    const { socket, session, openStreams, answering } = connection;
    if (session === undefined && answering && socket.writableLength > 0) yield { connection, writable: socket };
    for (const stream of openStreams) if (stream.writableLength > 0) yield { connection, writable: stream };
  }
}

function endResponse({ session, socket, openStreams }: Connection, writable: Writable): void {
  if (session === undefined) {
    socket.destroy();
    return;
  }
  const stream = writable as ServerHttp2Stream;
  // Any other code is an error of the stream, which all who serve it would have to catch.
  if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
  const isLast = [...openStreams].every(other => other.closed);
  if (isLast) goAwayEnhanceYourCalm(session);
}

/** How long a client may read nothing while too much waits: one or two retransmissions. */
const PRESSED_MS = 1000;
const PRESSED_BYTES_PER_SECOND = 4 * 1024 * 1024;

interface UnsentResponse {
  readonly connection: Connection;
  readonly writable: Writable;
}

interface LateResponse extends UnsentResponse {
  readonly unsent: number;
  readonly overdue: number;
}

interface Wait {
  unsent: number;
  since: number;
  waiting: boolean;
}
