import http from 'node:http';
import http2, { type ClientHttp2Session } from 'node:http2';
import type { MutatedRequest } from '#test/support/mutated-requests.ts';

/** How a request was answered. */
export interface Outcome {
  /** The HTTP status; 0: none came. */
  readonly status: number;
  /** Whether the service says that the fault is its own: HTTP 5xx but for a deadline, or such a code in any protocol. */
  readonly isFault: boolean;
  /** What the answer says, for a report. */
  readonly text: string;
}

/** Sends requests over connections that it keeps, and opens new ones when the service has closed them. */
export class OutcomeSender implements Disposable {
  readonly #url: URL;
  readonly #agent = new http.Agent({ keepAlive: true });
  #session: ClientHttp2Session | undefined;

  constructor(url: string) {
    this.#url = new URL(url);
  }

  send(request: MutatedRequest): Promise<Outcome> {
    return request.httpVersion === '2' ? this.#sendHttp2(request) : this.#sendHttp1(request);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.#session?.destroy();
  }

  #sendHttp1({ httpVersion, method, path, headers, body }: MutatedRequest): Promise<Outcome> {
    const { hostname: host, port } = this.#url;
    const length = method === 'POST' ? { 'content-length': body.length } : {};
    return new Promise(resolve => {
      const request = http.request({
        host,
        port,
        method,
        path,
        headers: { ...headers, ...length },
        agent: this.#agent,
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        // The service had just closed the idle connection: the request was never read.
        if (request.reusedSocket && error.code === 'ECONNRESET')
          resolve(this.#sendHttp1({ method, path, headers, body, httpVersion }));
        else resolve({ status: 0, isFault: false, text: error.message });
      });
      request.on('response', response => {
        const chunks: Buffer[] = [];
        response.on('data', chunk => chunks.push(chunk));
        response.on('close', () =>
          resolve(outcomeOf(response.statusCode ?? 0, response.headers, Buffer.concat(chunks))),
        );
      });
      request.end(body);
    });
  }

  #sendHttp2({ method, path, headers, body }: MutatedRequest): Promise<Outcome> {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = http2.connect(this.#url.origin).on('error', () => {});
    }
    const stream = this.#session.request({ ':method': method, ':path': path, ...headers });
    return new Promise(resolve => {
      const chunks: Buffer[] = [];
      const received: Record<string, unknown> = {};
      const collect = (fields: object) => void Object.assign(received, fields);
      stream
        .on('response', collect)
        .on('trailers', collect)
        .on('error', () => {});
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('close', () => resolve(outcomeOf(Number(received[':status'] ?? 0), received, Buffer.concat(chunks))));
      stream.end(body);
    });
  }
}

function outcomeOf(status: number, headers: Readonly<Record<string, unknown>>, body: Buffer): Outcome {
  const text = body.toString('latin1');
  const { 'grpc-status': inHeader } = headers;
  const grpcStatus = typeof inHeader === 'string' ? inHeader : (/grpc-status: ?(\d+)/i.exec(text)?.[1] ?? '');
  // UNKNOWN, INTERNAL, UNAVAILABLE and DATA_LOSS.
  const isFaultCode = ['2', '13', '14', '15'].includes(grpcStatus);
  const isFaultError = /"code":"(?:unknown|internal|unavailable|data_loss)"/.test(text);
  const isFault = (status >= 500 && status !== 504 && status !== 501) || isFaultCode || isFaultError;
  return { status, isFault, text: `HTTP ${status}, grpc-status ${grpcStatus}, ${text.slice(0, 200)}` };
}
