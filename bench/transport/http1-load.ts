import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { completeLength, declaredLength } from './http1-answer.ts';
import { CALLS_AT_ONCE, type Load } from './load.ts';
import type { Workload } from './workloads.ts';

/**
 * A load over HTTP/1.1: one connection for each call at once, the same bytes with each request, and of the answers no more
 * looked at than the status and the length.
 */
export class Http1Load implements Load {
  answered = 0;
  readonly #port: number;
  readonly #request: Buffer;
  #connections: readonly Connection[] = [];
  #length = 0;
  #running = false;
  #open = 0;
  #failure: Error | undefined;
  #idle: (() => void) | undefined;

  constructor(port: number, { method, target, headers, body }: Workload) {
    this.#port = port;
    const fields = { host: `127.0.0.1:${port}`, ...headers, ...(body && { 'content-length': String(body.length) }) };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`);
    this.#request = body === undefined ? head : Buffer.concat([head, body]);
  }

  async connect(): Promise<void> {
    this.#connections = await Promise.all(Array.from({ length: CALLS_AT_ONCE }, () => this.#newConnection()));
    if (this.#length === 0) this.#length = await this.#firstAnswer();
  }

  start(): void {
    this.#running = true;
    for (const connection of this.#connections) {
      this.#open++;
      connection.socket.write(this.#request);
    }
  }

  async stop(): Promise<void> {
    this.#running = false;
    if (this.#open > 0 && this.#failure === undefined) {
      await new Promise<void>(resolve => {
        this.#idle = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  close(): void {
    for (const { socket } of this.#connections) socket.destroy();
  }

  async #newConnection(): Promise<Connection> {
    const buffer = Buffer.allocUnsafe(64 * 1024);
    const onRead = (bytes: number) => {
      this.#receive(connection, bytes, buffer);
      return true;
    };
    const socket = connect({
      port: this.#port,
      host: '127.0.0.1',
      noDelay: true,
      onread: { buffer, callback: onRead },
    });
    const connection: Connection = { socket, received: 0, length: 0, first: undefined };
    socket.on('error', error => this.#fail(error));
    socket.on('close', () => {
      if (this.#open > 0) this.#fail(new Error('the server closed a connection'));
    });
    await once(socket, 'connect');
    return connection;
  }

  /** One call, whose answer tells how long answers are. */
  async #firstAnswer(): Promise<number> {
    const [connection] = this.#connections;
    if (connection === undefined) throw new Error('there is no connection');
    return await new Promise<number>((resolve, reject) => {
      const parts: Buffer[] = [];
      connection.first = bytes => {
        parts.push(Buffer.from(bytes));
        try {
          const length = completeLength(Buffer.concat(parts));
          if (length === undefined) return;
          connection.first = undefined;
          resolve(length);
        } catch (error) {
          reject(error);
        }
      };
      connection.socket.write(this.#request);
    });
  }

  #receive(connection: Connection, bytes: number, buffer: Buffer): void {
    if (connection.first !== undefined) {
      connection.first(buffer.subarray(0, bytes));
      return;
    }
    if (connection.received === 0) connection.length = this.#lengthOf(buffer, bytes);
    connection.received += bytes;
    if (connection.received < connection.length) return;
    if (connection.received > connection.length) {
      this.#fail(new Error(`an answer of ${connection.received} bytes rather than ${connection.length}`));
      return;
    }
    connection.received = 0;
    this.answered++;
    if (this.#running) connection.socket.write(this.#request);
    else if (--this.#open === 0) this.#idle?.();
  }

  /** Of the answer that begins here: most are as long as the first one, which spares us to read their heads. */
  #lengthOf(buffer: Buffer, bytes: number): number {
    // "HTTP/1.1 200": the first digit and the last of the status.
    if (bytes === this.#length && buffer[9] === 0x32 && buffer[11] === 0x30) return bytes;
    try {
      return declaredLength(buffer.subarray(0, bytes)) ?? this.#length;
    } catch (error) {
      this.#fail(error as Error);
      return Number.POSITIVE_INFINITY;
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#running = false;
    this.#idle?.();
  }
}

interface Connection {
  readonly socket: Socket;
  /** Bytes of the answer that is on its way. */
  received: number;
  /** Of that answer. */
  length: number;
  /** Takes what is received; unset once the length of answers is known. */
  first: ((bytes: Buffer) => void) | undefined;
}
