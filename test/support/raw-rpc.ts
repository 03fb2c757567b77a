import { once } from 'node:events';
import { connect } from 'node:http2';
import { buffer } from 'node:stream/consumers';
import type { ConnectError } from '@connectrpc/connect';
import { createEndStreamSerialization, errorFromJsonBytes } from '@connectrpc/connect/protocol-connect';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { trailerFlag, trailerParse } from '@connectrpc/connect/protocol-grpc-web';

/** The answer to a request that no client would send. */
export interface RawAnswer {
  readonly status: number;
  /** As a client would read it; undefined: none. */
  readonly error: ConnectError | undefined;
  /** The size of the trailers as HTTP/2 counts it: 32 bytes for each, besides its name and value. */
  readonly trailersSize: number;
}

/** Sends a request over Connect, gRPC-Web (HTTP/1.1) or gRPC (HTTP/2), as its content type says, with these very bytes. */
export async function sendRawRpc(
  url: string,
  contentType: string,
  body: Uint8Array | ReadableStream<Uint8Array>,
  headers: Readonly<Record<string, string>> = {},
  method = 'POST',
): Promise<RawAnswer> {
  const all = { 'content-type': contentType, ...headers };
  const isGrpc = contentType.startsWith('application/grpc') && !contentType.startsWith('application/grpc-web');
  return isGrpc ? sendGrpc(new URL(url), body, all, method) : sendFetch(url, body, all, method);
}

/** A message in the envelope of gRPC, gRPC-Web and Connect's streams. @param length what the envelope says it is. */
export function envelope(message: Uint8Array, flags = 0, length = message.length): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}

async function sendFetch(
  url: string,
  body: Uint8Array | ReadableStream<Uint8Array>,
  headers: Record<string, string>,
  method: string,
): Promise<RawAnswer> {
  const response = await fetch(url, { method, headers, body, duplex: 'half' } as RequestInit);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const answer = { status: response.status, trailersSize: 0 };
  const type = response.headers.get('content-type') ?? '';
  if (type.startsWith('application/grpc-web')) {
    const end = lastEnvelope(bytes, trailerFlag);
    return { ...answer, error: findTrailerError(end === undefined ? response.headers : trailerParse(end)) };
  }
  if (type.startsWith('application/connect+')) {
    const end = lastEnvelope(bytes, END_STREAM_FLAG);
    return { ...answer, error: end && createEndStreamSerialization(undefined).parse(end).error };
  }
  const fallback = new Error(`no error of Connect: ${Buffer.from(bytes)}`);
  if (response.status === 200) return { ...answer, error: undefined };
  return { ...answer, error: errorFromJsonBytes(bytes, undefined, fallback as ConnectError) };
}

async function sendGrpc(
  url: URL,
  body: Uint8Array | ReadableStream<Uint8Array>,
  headers: Record<string, string>,
  method: string,
): Promise<RawAnswer> {
  const session = connect(url.origin);
  try {
    const stream = session.request({ ':method': method, ':path': url.pathname, te: 'trailers', ...headers });
    const received = new Headers();
    let trailersSize = 0;
    const collect = (fields: Record<string, unknown>) => {
      trailersSize = 0;
      for (const [name, value] of Object.entries(fields)) {
        if (!name.startsWith(':')) received.set(name, String(value));
        trailersSize += name.length + String(value).length + 32;
      }
    };
    stream.on('trailers', collect);
    // The server may answer, and want no more, before all has been sent.
    stream.on('error', () => {});
    stream.end(body instanceof Uint8Array ? body : await buffer(body));
    const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
    collect(head);
    const closed = once(stream, 'close');
    stream.resume();
    await closed;
    return { status: Number(head[':status']), error: findTrailerError(received), trailersSize };
  } finally {
    session.destroy();
  }
}

function lastEnvelope(bytes: Uint8Array, flag: number): Uint8Array | undefined {
  let found: Uint8Array | undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 5 <= bytes.length; at += 5 + view.getUint32(at + 1)) {
    if ((view.getUint8(at) & flag) !== 0) found = bytes.subarray(at + 5, at + 5 + view.getUint32(at + 1));
  }
  return found;
}

const END_STREAM_FLAG = 2;
