import type { Socket } from 'node:net';

/**
 * Reads the first bytes of a clear-text connection, puts them back, and tells whether its client speaks HTTP/2 with prior knowledge (RFC
 * 9113, 3.3) or HTTP/1.1. A connection that ends, fails or sends nothing in time is dropped.
 *
 * Three bytes suffice: HTTP/2's preface begins with `PRI`, as no HTTP/1.1 method does. They may come one by one.
 */
export function peekProtocol(socket: Socket, timeoutMs: number, decided: (http2: boolean) => void): void {
  let seen: Buffer | undefined;
  let isDecided = false;

  const onReadable = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    seen = seen === undefined ? chunk : Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, PREFACE_START.length);
    const agrees = seen.compare(PREFACE_START, 0, length, 0, length) === 0;
    if (agrees && length < PREFACE_START.length) return;
    isDecided = true;
    socket.off('readable', onReadable).off('end', drop).off('error', drop).off('timeout', onTimeout);
    socket.setTimeout(0);
    socket.unshift(seen);
    decided(agrees);
  };
  const drop = () => socket.destroy();
  // After timers, Node reads what sockets have received. So if this process was late, and not the client, the bytes are here by then.
  const onTimeout = () => {
    setImmediate(() => {
      if (!isDecided) drop();
    });
  };

  socket.on('readable', onReadable).on('end', drop).on('error', drop).on('timeout', onTimeout);
  socket.setTimeout(timeoutMs);
}

const PREFACE_START = Buffer.from('PRI');
