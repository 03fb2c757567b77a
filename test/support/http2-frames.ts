import { EventEmitter, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** HTTP/2 frame types (RFC 9113, 6). */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags of frames (RFC 9113, 6): END_STREAM and ACK share their bit. */
export const FLAG = { none: 0, endStream: 1, ack: 1, endHeaders: 4 } as const;

/** A frame that a server sent. */
export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** The bytes of one frame (RFC 9113, 4.1). */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** A header block that uses no table, so that each stands alone. Names and values are shorter than 127 characters. */
export function headerBlock(fields: Readonly<Record<string, string>>): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')]);
  return Buffer.concat(Object.entries(fields).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

/** One setting (RFC 9113, 6.5.1), such as 4 for SETTINGS_INITIAL_WINDOW_SIZE. */
export function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

/** A client that speaks HTTP/2 frame by frame, and acknowledges nothing but the server's settings; not even these where it is told so. */
export class RawHttp2Client implements Disposable {
  readonly socket: Socket;
  /** Resolves when the server's settings have been acknowledged: from then on nothing is sent but by the caller. */
  readonly ready: Promise<void>;
  /** Resolves when the connection has closed, with the error code of the first GOAWAY; undefined: there was none. */
  readonly closed: Promise<number | undefined>;
  /** Every frame that has come whole, in order; `frame` tells of each further one. */
  readonly frames: ReceivedFrame[] = [];
  readonly events = new EventEmitter<{ frame: [ReceivedFrame] }>();
  #received: Buffer = Buffer.alloc(0);
  #goawayCode: number | undefined;
  #acknowledged: () => void = () => {};
  readonly #acknowledges: boolean;

  constructor(socket: Socket, { acknowledges = true }: { readonly acknowledges?: boolean } = {}) {
    this.socket = socket;
    this.#acknowledges = acknowledges;
    this.ready = new Promise(resolve => {
      this.#acknowledged = resolve;
    });
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.closed = new Promise(resolve => socket.on('close', () => resolve(this.#goawayCode)));
  }

  /** Sends bytes, and resolves when there is room for more, or the connection has closed. */
  async send(...frames: Uint8Array[]): Promise<void> {
    if (this.socket.destroyed || this.socket.write(Buffer.concat(frames))) return;
    await Promise.race([once(this.socket, 'drain').catch(() => {}), this.closed]);
  }

  /** The first frame of a type, on a stream where one is named; waits for it. Rejects where the connection closes before. */
  async frame(type: number, streamId?: number): Promise<ReceivedFrame> {
    const isIt = (it: ReceivedFrame) => it.type === type && (streamId === undefined || it.streamId === streamId);
    for (;;) {
      const found = this.frames.find(isIt);
      if (found !== undefined) return found;
      const gone = this.closed.then(() => Promise.reject(new Error(`closed before a frame of type ${type}`)));
      await Promise.race([once(this.events, 'frame'), gone]);
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #read(chunk: Buffer): void {
    const received = Buffer.concat([this.#received, chunk]);
    let at = 0;
    while (received.length - at >= 9) {
      const end = at + 9 + received.readUIntBE(at, 3);
      if (end > received.length) break;
      const [type = 0, flags = 0] = received.subarray(at + 3, at + 5);
      if (type === FRAME.goaway) this.#goawayCode ??= received.readUInt32BE(at + 13);
      if (type === FRAME.settings && flags === FLAG.none) {
        if (this.#acknowledges) this.socket.write(frame(FRAME.settings, FLAG.ack, 0));
        this.#acknowledged();
      }
      this.#tell({ type, flags, streamId: received.readUInt32BE(at + 5), payload: received.subarray(at + 9, end) });
      at = end;
    }
    this.#received = received.subarray(at);
  }

  #tell(received: ReceivedFrame): void {
    this.frames.push(received);
    this.events.emit('frame', received);
  }
}

/** Opens a connection, and exchanges settings. @param ca of the server's certificate; unset: in clear text. */
export async function connectRawHttp2(
  port: number,
  settings: readonly Uint8Array[] = [],
  localAddress = '127.0.0.1',
  ca?: string,
): Promise<RawHttp2Client> {
  const to = { port, host: '127.0.0.1', localAddress };
  const socket = ca === undefined ? connect(to) : connectTls({ ...to, ca, ALPNProtocols: ['h2'] });
  const client = new RawHttp2Client(socket);
  await once(socket, ca === undefined ? 'connect' : 'secureConnect');
  await client.send(
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    frame(FRAME.settings, 0, 0, Buffer.concat(settings)),
  );
  await Promise.race([client.ready, client.closed]);
  return client;
}

/** The header block of a gRPC call that the service answers by itself, and whose body is an empty message. */
export const HEALTH_CHECK = headerBlock({
  ':method': 'POST',
  ':scheme': 'http',
  ':path': '/grpc.health.v1.Health/Check',
  ':authority': 'a',
  'content-type': 'application/grpc',
});

/** The payload of a RST_STREAM with the code CANCEL (RFC 9113, 7). */
export const CANCEL = Buffer.from([0, 0, 0, 8]);
