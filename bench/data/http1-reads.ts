import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { GetPostRequestSchema } from '#gen/blog/v1/post_service_pb.js';

/**
 * Calls GetPost over HTTP/1.1 for a time, one call at a time on each connection, each for other posts. It reads only the status and the length of
 * an answer.
 *
 * @returns the number of answers.
 */
export async function readOverHttp1(
  port: number,
  ids: readonly string[],
  connections: number,
  ms: number,
): Promise<number> {
  const requests = ids.map(id => requestFor(port, id));
  const until = performance.now() + ms;
  const counts = await Promise.all(
    Array.from({ length: connections }, async (_, n) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      await once(socket, 'connect');
      const answers = new Answers(socket);
      let answered = 0;
      for (let i = n; performance.now() < until; i += connections) {
        const answer = answers.next();
        socket.write(requests[i % requests.length] as Buffer);
        await answer;
        answered++;
      }
      socket.destroy();
      return answered;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Built beforehand, since the generator shares the processors with what it measures. */
function requestFor(port: number, id: string): Buffer {
  const body = toBinary(GetPostRequestSchema, create(GetPostRequestSchema, { key: { case: 'id', value: id } }));
  const head = `POST /blog.v1.PostService/GetPost HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n${FIELDS}content-length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** The answers of one connection, one at a time. */
class Answers {
  #received: Buffer = Buffer.alloc(0);
  #settle: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  constructor(socket: Socket) {
    socket.on('data', chunk => this.#receive(chunk as Buffer)).on('error', error => this.#settle?.reject(error));
  }

  next(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  #receive(chunk: Buffer): void {
    const received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    this.#received = received;
    const headEnd = received.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const text = received.toString('latin1', 0, headEnd);
    const length = Number(/^content-length: (\d+)$/im.exec(text)?.[1]);
    if (received.length < headEnd + 4 + length) return;
    this.#received = Buffer.alloc(0);
    if (text.startsWith('HTTP/1.1 200 ') && Number.isFinite(length)) this.#settle?.resolve();
    else this.#settle?.reject(new Error(received.toString('latin1', 0, 500)));
  }
}

const FIELDS = [
  'content-type: application/proto',
  'connect-protocol-version: 1',
  'accept-encoding: gzip,br',
  'connect-timeout-ms: 5000',
  'user-agent: connect-es/2.2.0',
  '',
].join('\r\n');
