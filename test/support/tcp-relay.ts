import type { Socket } from 'node:net';
import type { FaultyLine } from '#test/support/tcp-faults.ts';

/** Passes what one socket receives to the other, in order and with the line's faults; its end too. */
export function relay(from: Socket, to: Socket, line: FaultyLine): void {
  const queue: Parcel[] = [];
  let queuedBytes = 0;
  let freeAt = 0;
  let timer: NodeJS.Timeout | undefined;

  const accept = (bytes: Buffer | 'end') => {
    queue.push({ bytes, arrivedAt: performance.now() });
    queuedBytes += bytes.length;
    if (queuedBytes > QUEUE_MAX_BYTES) from.pause();
    deliver();
  };
  const deliver = () => {
    clearTimeout(timer);
    for (let head = queue[0]; head !== undefined; head = queue[0]) {
      const { latencyMs, bytesPerSecond, blackHole } = line.faults;
      if (to.destroyed || blackHole || to.writableNeedDrain) return;
      const now = performance.now();
      const waitMs = Math.max(head.arrivedAt + latencyMs, freeAt) - now;
      if (waitMs > 0) {
        timer = setTimeout(deliver, waitMs);
        return;
      }
      if (head.bytes === 'end') {
        queue.shift();
        to.end();
        return;
      }
      const piece = head.bytes.subarray(0, Math.max(1, Math.min(MAX_PIECE_BYTES, bytesPerSecond / PIECES_A_SECOND)));
      if (piece.length === head.bytes.length) queue.shift();
      else head.bytes = head.bytes.subarray(piece.length);
      queuedBytes -= piece.length;
      freeAt = now + (piece.length / bytesPerSecond) * 1000;
      to.write(piece);
      if (queuedBytes <= QUEUE_MAX_BYTES) from.resume();
    }
  };
  const forget = () => {
    clearTimeout(timer);
    line.removeEventListener('change', deliver);
  };
  from.on('data', accept);
  from.on('end', () => accept('end'));
  to.on('drain', deliver);
  to.on('close', forget);
  line.addEventListener('change', deliver);
}

/** `end`: the other side sends no more. */
type Parcel = { bytes: Buffer | 'end'; readonly arrivedAt: number };

/** As a network does, the proxy holds some bytes and then makes the sender wait. */
const QUEUE_MAX_BYTES = 1024 * 1024;
const MAX_PIECE_BYTES = 64 * 1024;
const PIECES_A_SECOND = 100;
