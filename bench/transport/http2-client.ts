import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  FLAG_ACK,
  FLAG_END_STREAM,
  FRAME,
  FRAME_HEAD_LENGTH,
  frame,
  preface,
  requestFrames,
  STREAM_ID_AT,
  WINDOW_DEFAULT,
  windowUpdate,
} from './http2-frames.ts';
import type { Workload } from './workloads.ts';

/**
 * One connection over HTTP/2 that sends the same request over and over, and counts the answers: cheap enough to keep any
 * server busy from one core. Each answer must have the status 200, and not be an error of gRPC.
 */
export class Http2Client {
  answered = 0;
  readonly #socket: Socket;
  readonly #request: { readonly bytes: Buffer; readonly streamIdsAt: readonly number[] };
  readonly #bodyLength: number;
  #nextStreamId = 1;
  #running = false;
  #open = 0;
  /** Calls that wait until the server takes more bytes. */
  #waiting = 0;
  #sendWindow = WINDOW_DEFAULT;
  #unconfirmed = 0;
  /** Heads with the status 200. */
  #heads = 0;
  #rest: Buffer | undefined;
  #failure: Error | undefined;
  #idle: (() => void) | undefined;

  constructor(port: number, { method, target, headers, body }: Workload) {
    const pseudo = { ':method': method, ':scheme': 'http', ':path': target, ':authority': `127.0.0.1:${port}` };
    const length =
      headers['content-type'] === 'application/grpc' ? {} : { 'content-length': String(body?.length ?? 0) };
    this.#request = requestFrames({ ...pseudo, ...headers, ...length }, body);
    this.#bodyLength = body?.length ?? 0;
    const buffer = Buffer.allocUnsafe(64 * 1024);
    const callback = (bytes: number) => {
      this.#receive(buffer.subarray(0, bytes));
      return true;
    };
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback } });
    this.#socket.on('error', error => this.#fail(error));
    this.#socket.on('close', () => {
      if (this.#open > 0) this.#fail(new Error('the server closed a connection'));
    });
  }

  /** Connects, and makes one call. */
  async open(): Promise<void> {
    await once(this.#socket, 'connect');
    this.#socket.write(preface());
    this.#open = 1;
    this.#send(1);
    await this.stop();
    this.answered = 0;
    this.#heads = 0;
  }

  start(calls: number): void {
    this.#running = true;
    this.#open = calls;
    this.#send(calls);
  }

  async stop(): Promise<void> {
    this.#running = false;
    if (this.#open > 0 && this.#failure === undefined) {
      await new Promise<void>(resolve => {
        this.#idle = resolve;
      });
    }
    // An error has its status in the only head that it has, which is the end of it too.
    if (this.#heads !== this.answered) this.#fail(new Error('some answer was an error'));
    if (this.#failure !== undefined) throw this.#failure;
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(calls: number): void {
    const fits = this.#bodyLength === 0 ? calls : Math.min(calls, Math.floor(this.#sendWindow / this.#bodyLength));
    this.#waiting += calls - fits;
    if (fits === 0) return;
    this.#sendWindow -= fits * this.#bodyLength;
    const { bytes: request, streamIdsAt } = this.#request;
    const bytes = Buffer.allocUnsafe(fits * request.length);
    for (let i = 0; i < fits; i++) {
      const at = i * request.length;
      request.copy(bytes, at);
      for (const place of streamIdsAt) bytes.writeUInt32BE(this.#nextStreamId, at + place);
      this.#nextStreamId += 2;
    }
    this.#socket.write(bytes);
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    const answeredBefore = this.answered;
    let at = 0;
    while (bytes.length - at >= FRAME_HEAD_LENGTH) {
      const end = at + FRAME_HEAD_LENGTH + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      this.#take(bytes, at, end);
      at = end;
    }
    // The buffer of the socket is used again.
    this.#rest = at === bytes.length ? undefined : Buffer.from(bytes.subarray(at));
    const done = this.answered - answeredBefore;
    if (this.#running) {
      if (done > 0) this.#send(done);
      return;
    }
    this.#open -= done + this.#waiting;
    this.#waiting = 0;
    if (this.#open <= 0) this.#idle?.();
  }

  #take(bytes: Buffer, at: number, end: number): void {
    const type = bytes[at + 3];
    const flags = bytes[at + 4] ?? 0;
    const payloadAt = at + FRAME_HEAD_LENGTH;
    if (type === FRAME.data || type === FRAME.headers) {
      if (type === FRAME.data) this.#consume(end - payloadAt);
      else if ((flags & FLAG_END_STREAM) === 0) this.#checkStatus(bytes, payloadAt);
      if ((flags & FLAG_END_STREAM) !== 0) this.answered++;
    } else if (type === FRAME.windowUpdate) {
      if (bytes.readUInt32BE(at + STREAM_ID_AT) === 0) this.#widen(bytes.readUInt32BE(payloadAt));
    } else if (type === FRAME.settings || type === FRAME.ping) {
      if ((flags & FLAG_ACK) !== 0) return;
      const echoed = type === FRAME.ping ? bytes.subarray(payloadAt, end) : new Uint8Array();
      this.#socket.write(frame(type, FLAG_ACK, 0, echoed));
    } else if (type === FRAME.goAway) {
      this.#fail(new Error('the server ends the connection'));
    } else if (type === FRAME.resetStream) {
      this.#fail(new Error(`the server reset a stream: error ${bytes.readUInt32BE(payloadAt)}`));
    }
  }

  #checkStatus(bytes: Buffer, blockAt: number): void {
    let at = blockAt;
    // A change of the size of the dynamic table may come first (RFC 7541, 6.3).
    while (((bytes[at] ?? 0) & 0xe0) === 0x20) at++;
    if (bytes[at] === STATUS_200) this.#heads++;
    else this.#fail(new Error('an answer has another status than 200'));
  }

  #consume(dataBytes: number): void {
    this.#unconfirmed += dataBytes;
    if (this.#unconfirmed < CONFIRM_EVERY_BYTES) return;
    this.#socket.write(windowUpdate(this.#unconfirmed));
    this.#unconfirmed = 0;
  }

  #widen(increment: number): void {
    this.#sendWindow += increment;
    const waiting = this.#waiting;
    this.#waiting = 0;
    if (waiting > 0) this.#send(waiting);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#running = false;
    this.#idle?.();
  }
}

/** `:status: 200` of HPACK's static table (RFC 7541, appendix A), as an indexed field. */
const STATUS_200 = 0x88;
/** Well within the window of 2 GiB. */
const CONFIRM_EVERY_BYTES = 16 * 1024 * 1024;
