import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

/**
 * A TLS connection as a plain stream, so that an HTTP/2 session writes to it like everybody else.
 *
 * With the socket itself, a session would write to its native handle, and a second writer would abort the process (`CHECK(!current_write_)`
 * in Node's TLSWrap). Then the GOAWAY of a graceful end could not be sent past the session. It costs about a tenth of the calls a second
 * over TLS, measured on a noisy machine.
 */
export function tlsCarrier(socket: TLSSocket): Duplex {
  // HTTP/2 wraps any other stream in a net.Socket (JSStreamSocket). These are the members that it uses. Another Duplex around the socket
  // would cost three times as much.
  const carrier = {
    readable: true,
    writable: true,
    readableObjectMode: false,
    on: (event: string, listener: Listener) => void socket.on(event, listener),
    // If it learned of the end, it would end its own side at once, and throw when the session still writes. The client is gone either way.
    once: (event: string, listener: Listener) => void (event === 'end' || socket.once(event, listener)),
    removeListener: (event: string, listener: Listener) => void socket.removeListener(event, listener),
    emit: (event: string, ...args: unknown[]) => socket.emit(event, ...args),
    isPaused: () => socket.isPaused(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    cork: () => socket.cork(),
    uncork: () => socket.uncork(),
    write: (bytes: Uint8Array, written: (error?: Error | null) => void) => socket.write(bytes, written),
    end: (ended: () => void) => void socket.end(ended),
    destroy: (error?: Error) => void socket.destroy(error),
  };
  socket.once('end', () => socket.destroy());
  // HTTP/2 sets this on sockets. Otherwise small frames would wait for acknowledgements.
  socket.setNoDelay();
  return carrier as unknown as Duplex;
}

type Listener = (...args: unknown[]) => void;
