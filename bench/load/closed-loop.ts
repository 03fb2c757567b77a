import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** What callers saw who each make one call at a time, and the next one as soon as they have an answer, whatever it is. */
export interface ClosedLoopResult {
  /** Answered well within the deadline. */
  readonly ok: number;
  /** Refused as overload. */
  readonly refused: number;
  /** Anything else, such as a deadline that was missed. */
  readonly failed: number;
  /** Calls that went well, a second. */
  readonly goodput: number;
  /** Of the calls that went well, in milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

export type CallMix = 'create' | 'cold' | 'mixed';

/** Calls over HTTP/1.1 in JSON, each caller over a connection of its own. No new call begins after `ms`; those under way are waited for. */
export async function runClosedLoop(options: {
  readonly port: number;
  readonly mix: CallMix;
  readonly callers: number;
  readonly deadlineMs: number;
  readonly ms: number;
  /** Of posts that can be read. */
  readonly ids: readonly string[];
}): Promise<ClosedLoopResult> {
  const { port, mix, callers, deadlineMs, ms, ids } = options;
  const tookMs: number[] = [];
  let refused = 0;
  let failed = 0;
  let serial = 0;
  const call = (n: number): readonly [method: string, body: object] => {
    serial++;
    if (mix === 'cold' || (mix === 'mixed' && n % 2 === 0))
      return ['GetPost', { id: ids[(serial * 7919) % ids.length] }];
    const slug = `load-${process.pid}-${performance.now().toString(36).replace('.', '-')}-${serial}`;
    return ['CreatePost', { post: { title: 'A title', slug, content: 'x'.repeat(1000), author: 'Ada' } }];
  };
  const connections = await Promise.all(Array.from({ length: callers }, () => Connection.open(port)));
  const beganAt = performance.now();
  await Promise.all(
    connections.map(async (connection, n) => {
      for (let i = n; performance.now() - beganAt < ms; i++) {
        const [method, body] = call(i);
        const at = performance.now();
        const answer = await connection.call(method, body, deadlineMs);
        const took = performance.now() - at;
        if (answer.status === 200 && took <= deadlineMs) tookMs.push(took);
        else if (answer.status !== 200 && answer.body.includes('OVERLOADED')) refused++;
        else failed++;
      }
      connection.close();
    }),
  );
  // Those that were under way at the end count, and so does the time that they took.
  const seconds = (performance.now() - beganAt) / 1000;
  tookMs.sort((a, b) => a - b);
  const at = (share: number) => tookMs[Math.floor((tookMs.length - 1) * share)] ?? Number.NaN;
  return { ok: tookMs.length, refused, failed, goodput: tookMs.length / seconds, p50: at(0.5), p99: at(0.99) };
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** One call at a time over a socket: the generator must cost little beside what it measures. */
class Connection {
  readonly #socket: Socket;
  readonly #port: number;
  #received = '';
  #answered: ((answer: Answer) => void) | undefined;

  static async open(port: number): Promise<Connection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new Connection(socket, port);
  }

  constructor(socket: Socket, port: number) {
    this.#socket = socket.setEncoding('latin1');
    this.#port = port;
    socket.on('data', (chunk: string) => this.#receive(chunk));
    socket.on('error', () => this.#end({ status: 0, body: 'the connection failed' }));
    socket.on('close', () => this.#end({ status: 0, body: 'the connection was closed' }));
  }

  call(method: string, body: object, deadlineMs: number): Promise<Answer> {
    const text = JSON.stringify(body);
    return new Promise(resolve => {
      if (this.#socket.destroyed) return resolve({ status: 0, body: 'the connection is closed' });
      this.#answered = resolve;
      this.#socket.write(
        `POST /blog.v1.PostService/${method} HTTP/1.1\r\nhost: 127.0.0.1:${this.#port}\r\ncontent-type: application/json\r\n` +
          `connect-protocol-version: 1\r\nconnect-timeout-ms: ${deadlineMs}\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
      );
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #end(answer: Answer): void {
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.(answer);
  }

  #receive(chunk: string): void {
    this.#received += chunk;
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = this.#received.slice(0, headEnd);
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    let body = this.#received.slice(headEnd + 4);
    if (length !== undefined) {
      if (body.length < Number(length)) return;
    } else {
      if (!body.endsWith('0\r\n\r\n')) return;
      body = body.slice(0, -5);
    }
    this.#received = '';
    this.#end({ status: Number(head.slice(9, 12)), body });
  }
}
