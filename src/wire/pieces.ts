import type { Writable } from 'node:stream';

/** The most bytes of a piece: little to hold for a client that reads nothing. */
export const PIECE_BYTES = 96 * 1024;

/**
 * Writes a message piece by piece. Each follows when the one before has left, in its own turn of the event loop, so that other calls wait
 * for at most one piece. Ends the output after the last piece.
 *
 * @param pieces each is used up before the next one is requested.
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
