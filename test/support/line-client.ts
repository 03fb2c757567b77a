import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A connection for tests that say what goes over the wire, byte by byte. */
export interface LineClient extends Disposable {
  readonly socket: Socket;
  send(text: string): void;
  /** Resolves with all that has arrived, once it is this many characters or more. @throws when the connection ends. */
  receive(length: number): Promise<string>;
}

/** Opens a TCP connection to a port of 127.0.0.1. */
export async function connectLineClient(port: number): Promise<LineClient> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let received = '';
  let news = Promise.withResolvers<void>();
  const wake = () => {
    news.resolve();
    news = Promise.withResolvers();
  };
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text;
    wake();
  });
  // Whoever waits sees by `destroyed` that nothing more comes.
  socket.on('error', wake).on('close', wake);
  return {
    socket,
    send: text => void socket.write(text),
    receive: async length => {
      while (received.length < length) {
        if (socket.destroyed) throw new Error(`the connection has ended; received: ${JSON.stringify(received)}`);
        await news.promise;
      }
      return received;
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}
