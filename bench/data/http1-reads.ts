import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { GetPostRequestSchema } from '#gen/blog/v1/post_service_pb.js';

/**
 * Calls GetPost over HTTP/1.1, one call at a time on each of some connections, each for other posts, for a time. Looks at no more of the
 * answers than the status and the length.
 *
 * @returns how many were answered.
 */
export async function readOverHttp1(
  port: number,
  ids: readonly string[],
  connections: number,
  ms: number,
): Promise<number> {
  const until = performance.now() + ms;
  const counts = await Promise.all(
    Array.from({ length: connections }, async (_, n) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      await once(socket, 'connect');
      let answered = 0;
      for (let i = n; performance.now() < until; i += connections) {
        await callOnce(socket, port, ids[i % ids.length] as string);
        answered++;
      }
      socket.destroy();
      return answered;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

function callOnce(socket: Socket, port: number, id: string): Promise<void> {
  const body = toBinary(GetPostRequestSchema, create(GetPostRequestSchema, { key: { case: 'id', value: id } }));
  const head = `POST /blog.v1.PostService/GetPost HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n${FIELDS}content-length: ${body.length}\r\n\r\n`;
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const headEnd = received.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const text = received.toString('latin1', 0, headEnd);
      const length = Number(/^content-length: (\d+)$/im.exec(text)?.[1]);
      if (received.length < headEnd + 4 + length) return;
      socket.off('data', onData);
      if (text.startsWith('HTTP/1.1 200 ') && Number.isFinite(length)) resolve();
      else reject(new Error(received.toString('latin1', 0, 500)));
    };
    socket.on('data', onData).once('error', reject);
    socket.write(Buffer.concat([Buffer.from(head), body]));
  });
}

const FIELDS = [
  'content-type: application/proto',
  'connect-protocol-version: 1',
  'accept-encoding: gzip,br',
  'connect-timeout-ms: 5000',
  'user-agent: connect-es/2.2.0',
  '',
].join('\r\n');
