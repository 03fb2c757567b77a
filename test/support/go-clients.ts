import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { join } from 'node:path';

/** What a client in Go sent, as test/fixtures/README.md says it was recorded. */
export interface GoClient {
  /** Such as `connect-go, HTTP/1.1, GET`. */
  readonly name: string;
  /** The reads first: GetPost, BatchGetPosts, ListPosts twice; then the writes. */
  readonly requests: readonly GoRequest[];
}

export interface GoRequest {
  /** Of HTTP/1.1: all before the content. */
  readonly head?: string;
  /** Of HTTP/2: the header fields in their order. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** In base64; unset: there is none. */
  readonly content?: string;
}

/** Reads the recording. */
export function readGoClients(): readonly GoClient[] {
  const file = join(import.meta.dirname, '..', 'fixtures', 'go-clients', 'recorded.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { clients: GoClient[] }).clients;
}

/** Sends what a client sent, one request after the other over one connection, and waits for each answer. */
export async function replayGoClient({ requests }: GoClient, url: string): Promise<void> {
  await (requests[0]?.head === undefined ? replayHttp2(requests, url) : replayHttp1(requests, url));
}

async function replayHttp1(requests: readonly GoRequest[], url: string): Promise<void> {
  // So that a character is a byte.
  const socket = net.connect(Number(new URL(url).port), '127.0.0.1').setEncoding('latin1');
  const received = socket[Symbol.asyncIterator]() as AsyncIterator<string>;
  try {
    for (const { head = '', content = '' } of requests) {
      socket.write(Buffer.concat([Buffer.from(head), Buffer.from(content, 'base64')]));
      let answer = '';
      while (!isWhole(answer)) {
        const { done, value } = await received.next();
        if (done) throw new Error(`closed before the answer had ended: ${answer}`);
        answer += value;
      }
    }
  } finally {
    socket.destroy();
  }
}

/** Whether a response has ended: by its length, or its last chunk. */
function isWhole(answer: string): boolean {
  const headEnd = answer.indexOf('\r\n\r\n') + 4;
  if (headEnd < 4) return false;
  const length = /^content-length: (\d+)\r$/im.exec(answer.slice(0, headEnd))?.[1];
  return length === undefined ? answer.endsWith('\r\n0\r\n\r\n') : answer.length === headEnd + Number(length);
}

async function replayHttp2(requests: readonly GoRequest[], url: string): Promise<void> {
  const session = http2.connect(url);
  try {
    for (const { headers = [], content } of requests) {
      const stream = session.request(Object.fromEntries(headers), { endStream: content === undefined });
      if (content !== undefined) stream.end(Buffer.from(content, 'base64'));
      stream.resume();
      await once(stream, 'close');
    }
  } finally {
    session.close();
  }
}
