import type { Writable } from 'node:stream';

/** A message is written in pieces of at most so many bytes: little to hold for a reader who takes nothing. */
export const PIECE_BYTES = 96 * 1024;

/**
 * Writes a message piece by piece: each when the one before has left, and in a turn of the event loop of its own, so that no other call
 * waits for more than a piece. Ends what it writes to after the last.
 *
 * @param pieces each is done with before the next one is asked for.
 * @param moved called each time that a piece has left.
 */
export function sendPieces(to: Writable, pieces: Iterable<Buffer>, moved: () => void): void {
  const rest = pieces[Symbol.iterator]();
  const next = () => {
    if (to.destroyed || to.closed) return;
    const { done, value } = rest.next();
    if (done) {
      to.end();
      return;
    }
    to.write(value, error => {
      if (error) return;
      moved();
      setImmediate(next);
    });
  };
  next();
}

/** The bytes in pieces. */
export function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) yield bytes.subarray(start, start + PIECE_BYTES);
}
