import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { FLAG, FRAME, RawHttp2Client } from '#test/support/http2-frames.ts';

/** What a gRPC client sent over one connection that it closed, as test/fixtures/README.md says it was recorded. */
export interface ClosingClient {
  /** Such as `grpc-go 1.85.0`. */
  readonly name: string;
  /** `call`: it closed after the answer to Check; `watch`: after the first message of Watch, which was still open. */
  readonly kind: 'call' | 'watch';
  /** In base64: all until the answer came. */
  readonly before: string;
  /** In base64: all after that. */
  readonly after: string;
  readonly end: 'FIN' | 'RST';
}

/** Reads the recording. */
export function readClosingClients(): readonly ClosingClient[] {
  const file = join(import.meta.dirname, '..', 'fixtures', 'closing-clients', 'recorded.json');
  return JSON.parse(readFileSync(file, 'utf8')) as ClosingClient[];
}

/**
 * Sends what a client sent, with the answer waited for, closes as it did, and resolves when the connection has closed.
 *
 * @param ca of the server's certificate; unset: in clear text.
 */
export async function replayClosingClient(
  { kind, before, after, end }: ClosingClient,
  port: number,
  ca?: string,
): Promise<void> {
  const to = { port, host: '127.0.0.1' };
  const socket = ca === undefined ? connect(to) : connectTls({ ...to, ca, ALPNProtocols: ['h2'] });
  // The recording acknowledges settings by itself.
  using client = new RawHttp2Client(socket, { acknowledges: false });
  await once(socket, ca === undefined ? 'connect' : 'secureConnect');
  await client.send(Buffer.from(before, 'base64'));
  await client.frame(kind === 'watch' ? FRAME.data : FRAME.headers);
  if (kind === 'call') while (!client.frames.some(isTrailer)) await once(client.events, 'frame');
  await client.send(Buffer.from(after, 'base64'));
  if (end === 'FIN') socket.end();
  else if (ca === undefined) socket.resetAndDestroy();
  // Over TLS there is no way to reset it.
  else socket.destroy();
  await client.closed;
}

function isTrailer({ type, flags }: { readonly type: number; readonly flags: number }): boolean {
  return type === FRAME.headers && (flags & FLAG.endStream) !== 0;
}
