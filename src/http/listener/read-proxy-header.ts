import type { Socket } from 'node:net';
import { parseProxyHeader } from '#src/http/listener/proxy-header.ts';

/**
 * Removes the PROXY header from a new connection, in however many pieces it comes, and puts back the HTTP or TLS that follows. A connection
 * that ends or fails first is dropped.
 *
 * @param timeoutMs for the whole header.
 * @param read gets the client's address; undefined: the proxy names none.
 * @param failed the header is malformed or late; the connection is still open.
 */
export function readProxyHeader(
  socket: Socket,
  timeoutMs: number,
  read: (address: string | undefined) => void,
  failed: () => void,
): void {
  let seen: Buffer | undefined;

  const stop = () => {
    clearTimeout(timer);
    socket.off('readable', onReadable).off('end', drop).off('error', drop).off('close', stop);
  };
  const onReadable = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    seen = seen === undefined ? chunk : Buffer.concat([seen, chunk]);
    const header = parseProxyHeader(seen);
    if (header === 'incomplete') return;
    stop();
    if (header === 'malformed') {
      failed();
      return;
    }
    if (seen.length > header.length) socket.unshift(seen.subarray(header.length));
    read(header.address);
  };
  const drop = () => socket.destroy();
  const timer = setTimeout(() => {
    stop();
    failed();
  }, timeoutMs);
  socket.on('readable', onReadable).on('end', drop).on('error', drop).on('close', stop);
}
