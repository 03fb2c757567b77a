import http from 'node:http';
import http2, { type ClientHttp2Session } from 'node:http2';

/** A request, field by field, as no client of an RPC may send it. */
export interface SentRequest {
  readonly httpVersion: '1.1' | '2';
  readonly method: string;
  readonly path: string;
  /** In their order; a name may come more than once. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** What came back. */
export interface ReceivedResponse {
  /** 0: none came, or not in full. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly trailers: Readonly<Record<string, string>>;
  /** Whether the connection, or over HTTP/2 the stream, was cut off or reset with an error. */
  readonly cut: boolean;
}

/** Sends requests to one port over connections that it keeps, one at a time for each version of HTTP. */
export class ExchangeSender implements Disposable {
  readonly #url: URL;
  readonly #agent = new http.Agent({ keepAlive: true });
  #session: ClientHttp2Session | undefined;
  /** HTTP/1.1 connections that were opened: one, where none was ended for an answer. */
  connections = 0;

  constructor(url: string) {
    this.#url = new URL(url);
  }

  send(request: SentRequest): Promise<ReceivedResponse> {
    return request.httpVersion === '2' ? this.#sendHttp2(request) : this.#sendHttp1(request);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.#session?.destroy();
  }

  #sendHttp1({ method, path, fields, body }: SentRequest): Promise<ReceivedResponse> {
    const { hostname: host, port } = this.#url;
    const headers = ['host', this.#url.host, 'connection', 'keep-alive', ...fields.flat()];
    if (body.length > 0 || method === 'POST') headers.push('content-length', String(body.length));
    return new Promise(resolve => {
      const request = http.request({ host, port, method, path, headers, agent: this.#agent });
      request.on('socket', () => {
        if (!request.reusedSocket) this.connections++;
      });
      request.on('error', () => resolve(NOTHING));
      request.on('response', response => {
        const chunks: Buffer[] = [];
        response.on('data', chunk => chunks.push(chunk));
        response.on('error', () => {});
        response.on('close', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: flat(response.headers),
            body: Buffer.concat(chunks),
            trailers: flat(response.trailers),
            cut: !response.complete,
          }),
        );
      });
      request.end(body);
    });
  }

  #sendHttp2({ method, path, fields, body }: SentRequest): Promise<ReceivedResponse> {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = http2.connect(this.#url.origin).on('error', () => {});
    }
    const pseudo = [':method', method, ':path', path, ':scheme', 'http', ':authority', this.#url.host];
    const stream = this.#session.request([...pseudo, ...fields.flat()], { endStream: body.length === 0 });
    return new Promise(resolve => {
      const chunks: Buffer[] = [];
      let headers: Record<string, string> = {};
      let trailers: Record<string, string> = {};
      stream
        .on('response', received => {
          headers = flat(received);
        })
        .on('trailers', received => {
          trailers = flat(received);
        })
        .on('error', () => {})
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .on('close', () => {
          const { ':status': status = '0', ...rest } = headers;
          resolve({
            status: Number(status),
            headers: rest,
            body: Buffer.concat(chunks),
            trailers,
            cut: stream.rstCode !== 0,
          });
        });
      if (body.length > 0) stream.end(body);
    });
  }
}

function flat(fields: object): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]));
}

const NOTHING: ReceivedResponse = { status: 0, headers: {}, body: Buffer.alloc(0), trailers: {}, cut: true };
