import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';

/** Sends requests as they are, by Node's own HTTP/1.1 and HTTP/2, over connections that it keeps. */
export class PlainHttpClient implements Disposable {
  readonly #url: string;
  readonly #agent = new http.Agent({ keepAlive: true });
  #session: http2.ClientHttp2Session | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  ask(request: RawRequest): Promise<Answer> {
    return request.version === 1 ? this.#askHttp1(request) : this.#askHttp2(request);
  }

  async #askHttp1({ method, path, headers, body }: RawRequest): Promise<Answer> {
    const { hostname: host, port } = new URL(this.#url);
    const request = http.request({ host, port, path, method, agent: this.#agent });
    for (const [name, value] of Object.entries(headers)) request.setHeader(name, value as string);
    if (method === 'POST') request.setHeader('content-length', body.length);
    request.end(body);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    const chunks = await response.toArray();
    return answerOf(method, response.statusCode, { ...response.headers }, Buffer.concat(chunks), {});
  }

  async #askHttp2({ method, path, headers, body }: RawRequest): Promise<Answer> {
    // Node has it, and its types don't yet.
    const options = { strictSingleValueFields: false } as http2.ClientSessionOptions;
    if (this.#session === undefined || this.#session.closed) this.#session = http2.connect(this.#url, options);
    const fields = { ':method': method, ':path': path, ...headers } as http2.OutgoingHttpHeaders;
    const stream = this.#session.request(fields, { endStream: method === 'GET' });
    let trailers = {};
    stream.on('trailers', given => {
      trailers = { ...given };
    });
    if (method !== 'GET') stream.end(body);
    const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    const chunks = await stream.toArray();
    const { ':status': status, ...rest } = head;
    if (rest['grpc-status'] !== undefined) trailers = takeTrailers(rest);
    return answerOf(method, status as unknown as number, rest, Buffer.concat(chunks), trailers);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.#session?.destroy();
  }
}

/** Of an answer that is one block of fields ("Trailers-Only"). */
function takeTrailers(fields: Fields): Fields {
  const names = ['grpc-status', 'grpc-message', 'grpc-status-details-bin'].filter(name => name in fields);
  const trailers = Object.fromEntries(names.map(name => [name, fields[name]]));
  for (const name of names) Reflect.deleteProperty(fields, name);
  return trailers;
}

/** The content is inflated, and read as what it is. */
function answerOf(
  method: string,
  status: number | undefined,
  headers: Fields,
  bytes: Buffer,
  trailers: Fields,
): Answer {
  const type = String(headers['content-type']);
  if (type.startsWith('application/grpc')) {
    const encoding = bytes[0] === 1 ? headers['grpc-encoding'] : undefined;
    const inflated = gunzipOrBr(bytes.subarray(5), encoding);
    const body = bytes.length === 0 ? undefined : inflated.toString('base64');
    return { method, status, headers, trailers, encoding, body };
  }
  const encoding = headers['content-encoding'];
  const inflated = gunzipOrBr(bytes, encoding);
  const body =
    type === 'application/json' && inflated.length > 0 ? JSON.parse(String(inflated)) : inflated.toString('base64');
  return { method, status, headers, trailers, encoding, body };
}

function gunzipOrBr(bytes: Buffer, name: unknown): Buffer {
  if (name === 'gzip') return gunzipSync(bytes);
  return name === 'br' ? brotliDecompressSync(bytes) : bytes;
}

/** A list is a repeated field. */
export type Fields = Record<string, unknown>;

export interface RawRequest {
  readonly version: 1 | 2;
  readonly method: string;
  readonly path: string;
  readonly headers: Fields;
  readonly body: Buffer;
}

export interface Answer {
  readonly method: string;
  readonly status: number | undefined;
  readonly headers: Fields;
  readonly trailers: Fields;
  /** What the message is compressed with. */
  readonly encoding: unknown;
  body: unknown;
}
