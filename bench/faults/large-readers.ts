/**
 * `node large-readers.ts URL STALLED READING`: requests the largest pages, over and over, until its standard input ends. STALLED readers read
 * nothing of their answers, and READING readers read everything. It prints a line when all have asked, and at the end a line of JSON.
 */

import { once } from 'node:events';
import http from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { PostView } from '#gen/blog/v1/post_pb.js';
import { ListPostsRequestSchema } from '#gen/blog/v1/post_service_pb.js';
import { LARGE_AUTHOR } from './large-posts.ts';

const [url = '', stalled = '0', reading = '0'] = process.argv.slice(2);
const { host, hostname, port } = new URL(url);
const PATH = '/blog.v1.PostService/ListPosts';
const request = { author: LARGE_AUTHOR, view: PostView.FULL, pageSize: 100 };
const json = JSON.stringify({ ...request, view: 'POST_VIEW_FULL' });
const message = toBinary(ListPostsRequestSchema, create(ListPostsRequestSchema, request));
const envelope = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);

const over = new AbortController();
process.stdin.resume();
void once(process.stdin, 'end').then(() => over.abort());
const outcomes: Record<string, number> = {};
let bytes = 0;
const count = (outcome: string) => {
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
};
/** The delay of RetryInfo, with jitter. */
const retryAfter = () => delay(500 + Math.random() * 1000, undefined, { signal: over.signal });

const AGENT = new http.Agent({ keepAlive: true, maxSockets: 1000 });
const STALLED_FOR_MS = 60_000;
const READERS = [readJson, readGrpc];
const STALLERS = [stallHttp1, stallHttp2];
const all = [
  ...Array.from({ length: Number(stalled) }, (_, n) => repeat(STALLERS[n % 2] as () => Promise<string>)),
  ...Array.from({ length: Number(reading) }, (_, n) => repeat(READERS[n % 2] as () => Promise<string>)),
];
console.log('begins');
await Promise.all(all);
console.log(JSON.stringify({ outcomes, bytes }));
process.exit();

async function repeat(read: () => Promise<string>): Promise<void> {
  while (!over.signal.aborted) {
    const outcome = await read().catch(error => String(error.code ?? error.message));
    if (over.signal.aborted) return;
    count(`${read.name} ${outcome}`);
    if (outcome !== 'ok') await retryAfter().catch(() => {});
  }
}

function readJson(): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': json.length };
    const call = http.request(url + PATH, { agent: AGENT, method: 'POST', headers, signal: over.signal });
    call.on('error', reject);
    call.on('response', response => {
      let length = 0;
      let head = '';
      response.on('data', (chunk: Buffer) => {
        if (length === 0) head = chunk.toString('latin1', 0, 200);
        length += chunk.length;
        bytes += chunk.length;
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve(
          response.statusCode === 200 ? 'ok' : (JSON.parse(`${head.slice(0, head.indexOf(','))}}`).code as string),
        ),
      );
    });
    call.end(json);
  });
}

async function readGrpc(): Promise<string> {
  const session = connectHttp2(url, { settings: { initialWindowSize: 1024 * 1024 } });
  try {
    const failed = once(session, 'error').then(([error]) => Promise.reject(error));
    failed.catch(() => {});
    const stream = session.request({
      ':method': 'POST',
      ':path': PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    let status: unknown;
    stream.on('response', fields => {
      status = fields['grpc-status'];
    });
    stream.on('trailers', fields => {
      status = fields['grpc-status'];
    });
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.end(envelope);
    await Promise.race([once(stream, 'close', { signal: over.signal }), failed]);
    return status === '0' ? 'ok' : `grpc-status ${status}`;
  } finally {
    session.destroy();
  }
}

/** Resolves when its connection has ended, or was refused. */
async function stallHttp1(): Promise<string> {
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  const fields = `host: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${json.length}`;
  socket.write(`POST ${PATH} HTTP/1.1\r\n${fields}\r\n\r\n${json}`);
  try {
    const [first] = (await Promise.race([once(socket, 'data', { signal: over.signal }), once(socket, 'close')])) as [
      Buffer | boolean,
    ];
    socket.pause();
    if (typeof first === 'boolean') return 'closed';
    if (!first.toString('latin1', 0, 15).includes('200')) return 'refused';
    // A socket that does not read never sees a reset, so it is checked after a while.
    await delay(STALLED_FOR_MS, undefined, { signal: over.signal });
    return 'stalled';
  } finally {
    socket.destroy();
  }
}

async function stallHttp2(): Promise<string> {
  const session = connectHttp2(url, { settings: { initialWindowSize: 1000 } });
  session.on('error', () => {});
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.end(envelope);
    const [fields] = await Promise.race([once(stream, 'response', { signal: over.signal }), once(session, 'close')]);
    if (fields?.['grpc-status'] !== undefined) return 'refused';
    await Promise.race([once(stream, 'close'), delay(STALLED_FOR_MS, undefined, { signal: over.signal })]);
    return stream.closed ? 'reset' : 'stalled';
  } finally {
    session.destroy();
  }
}
