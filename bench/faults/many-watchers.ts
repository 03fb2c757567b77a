import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  WatchPostsRequestSchema,
  type WatchPostsResponse,
  WatchPostsResponseSchema,
} from '#gen/blog/v1/post_service_pb.js';

/** One WatchPosts stream on a connection of its own: Connect over HTTP/1.1. It is cheap enough for one process to hold thousands. */
export interface RawWatch extends AsyncDisposable {
  /** Its last token; empty before the first response. */
  readonly resumeToken: string;
  /** Resolves with the milliseconds from its opening to its first response. Rejects if it is refused. */
  readonly first: Promise<number>;
  /** The same for its first change. */
  readonly changed: Promise<number>;
  /** The number of responses so far. */
  readonly responses: number;
}

export type WatchRequest = MessageInitShape<typeof WatchPostsRequestSchema>;

/** Opens a watch. It never throws: the promises report errors. */
export function openRawWatch(url: string, request: WatchRequest = {}): RawWatch {
  const openedAt = performance.now();
  const first = Promise.withResolvers<number>();
  const changed = Promise.withResolvers<number>();
  for (const { promise } of [first, changed]) promise.catch(() => {});
  const state = { resumeToken: '', responses: 0 };
  const { hostname, port, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.on('close', () => {
    first.reject(new Error('the connection was closed'));
    changed.reject(new Error('the connection was closed'));
  });
  socket.write(requestOf(host, request));
  readResponses(
    socket,
    response => {
      state.resumeToken = response.resumeToken;
      first.resolve(performance.now() - openedAt);
      state.responses++;
      if (response.change !== undefined) changed.resolve(performance.now() - openedAt);
    },
    reason => {
      first.reject(new Error(reason));
      changed.reject(new Error(reason));
    },
  );
  return {
    get resumeToken() {
      return state.resumeToken;
    },
    get responses() {
      return state.responses;
    },
    first: first.promise,
    changed: changed.promise,
    [Symbol.asyncDispose]: async () => {
      if (socket.closed) return;
      socket.destroy();
      await once(socket, 'close');
    },
  };
}

function requestOf(host: string, request: WatchRequest): Buffer {
  const message = toBinary(WatchPostsRequestSchema, create(WatchPostsRequestSchema, request));
  const head = [
    'POST /blog.v1.PostService/WatchPosts HTTP/1.1',
    `host: ${host}`,
    'content-type: application/connect+proto',
    'connect-protocol-version: 1',
    `content-length: ${message.length + 5}`,
  ].join('\r\n');
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(message.length, 1);
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`), envelope, message]);
}

/** Parses the chunks of HTTP and the envelopes of Connect. */
function readResponses(
  socket: Socket,
  onResponse: (response: WatchPostsResponse) => void,
  onEnd: (reason: string) => void,
): void {
  let [received, body] = [Buffer.alloc(0), Buffer.alloc(0)];
  let hasHead = false;
  socket.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
    if (!hasHead) {
      const end = received.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = received.toString('latin1', 0, end);
      if (!head.startsWith('HTTP/1.1 200')) onEnd(head.split('\r\n', 1)[0] ?? '');
      received = received.subarray(end + 4);
      hasHead = true;
    }
    for (;;) {
      const line = received.indexOf('\r\n');
      if (line < 0) break;
      const size = Number.parseInt(received.toString('latin1', 0, line), 16);
      if (received.length < line + 2 + size + 2) break;
      body = Buffer.concat([body, received.subarray(line + 2, line + 2 + size)]);
      received = received.subarray(line + 2 + size + 2);
    }
    while (body.length >= 5) {
      const size = body.readUInt32BE(1);
      if (body.length < 5 + size) break;
      const message = body.subarray(5, 5 + size);
      if (body[0] === 2) onEnd(message.toString());
      else onResponse(fromBinary(WatchPostsResponseSchema, message));
      body = body.subarray(5 + size);
    }
  });
}
