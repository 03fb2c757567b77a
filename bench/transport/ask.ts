import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:http2';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import type { Workload } from './workloads.ts';

/** One answer, all of it. */
export interface Answer {
  readonly status: number;
  readonly head: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly trailers: Readonly<Record<string, string>>;
}

/** Makes the workload's call once, with Node's own client. */
export async function ask(port: number, workload: Workload): Promise<Answer> {
  return workload.http2 ? await askHttp2(port, workload) : await askHttp1(port, workload);
}

/** The message of an answer: out of its gRPC frame, where it has one, and inflated. */
export function messageOf({ head, body }: Answer): Buffer {
  if (head['content-type']?.startsWith('application/grpc') !== true) return inflate(body, head['content-encoding']);
  return inflate(body.subarray(5), body[0] === 0 ? undefined : head['grpc-encoding']);
}

function inflate(bytes: Buffer, encoding: string | undefined): Buffer {
  if (encoding === 'gzip') return gunzipSync(bytes);
  return encoding === 'br' ? brotliDecompressSync(bytes) : bytes;
}

async function askHttp1(port: number, { method, target, headers, body }: Workload): Promise<Answer> {
  const request = httpRequest({ host: '127.0.0.1', port, method, path: target, headers, agent: false });
  request.end(body);
  const [response] = await once(request, 'response');
  return {
    status: response.statusCode,
    body: Buffer.concat(await response.toArray()),
    head: response.headers,
    trailers: {},
  };
}

async function askHttp2(port: number, { method, target, headers, body }: Workload): Promise<Answer> {
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({ ':method': method, ':path': target, ...headers });
    let trailers = {};
    stream.on('trailers', fields => {
      trailers = { ...fields };
    });
    stream.end(body);
    const [{ ':status': status, ...head }] = await once(stream, 'response');
    return { status: Number(status), head: { ...head }, body: Buffer.concat(await stream.toArray()), trailers };
  } finally {
    session.close();
  }
}
