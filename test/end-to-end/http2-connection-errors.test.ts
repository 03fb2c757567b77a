import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it } from 'vitest';
import {
  connectRawHttp2,
  FLAG,
  FRAME,
  frame,
  HEALTH_CHECK,
  RawHttp2Client,
  setting,
} from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, sendRaw, statusOf } from '#test/support/raw-http.ts';
import { selfSigned } from '#test/support/self-signed.ts';

const CERTIFICATE = selfSigned();
const PROTOCOL_ERROR = 1;
/** SETTINGS_MAX_FRAME_SIZE as it is at first (RFC 9113, 6.5.2). */
const FRAME_MAX = 16_384;

/** Each ends its connection (RFC 9113, 5.4.1). */
const ERRORS: Readonly<Record<string, readonly Buffer[]>> = {
  'a window that grows by nothing': [frame(FRAME.windowUpdate, FLAG.none, 0, Buffer.alloc(4))],
  'data for no stream': [frame(FRAME.data, FLAG.none, 0)],
  // What HAProxy 2.6 sends for a request with more fields than it can pass on.
  'a reset of a stream that was never opened': [frame(FRAME.rstStream, FLAG.none, 95, Buffer.from([0, 0, 0, 8]))],
  'a header that does not decode': [frame(FRAME.headers, FLAG.endHeaders, 1, Buffer.from([0xff, 0xff, 0xff, 0xff]))],
  'a ping of seven bytes': [frame(FRAME.ping, FLAG.none, 0, Buffer.alloc(7))],
  'a frame above the largest size': [frame(FRAME.data, FLAG.none, 1, Buffer.alloc(20_000))],
  'a window above the largest size': [frame(FRAME.settings, FLAG.none, 0, setting(4, 2 ** 32 - 1))],
  'a stream with an even number': [frame(FRAME.headers, FLAG.endHeaders, 2, HEALTH_CHECK)],
  'metadata of 70,000 bytes in one field': metadata(70_000),
};

describe('an HTTP/2 connection error', () => {
  it.each(Object.entries(ERRORS))('%s ends its connection, and no other of that address', async (_name, bytes) => {
    await using port = await openPublicPort({ connections: { perAddress: 100 } });
    using good = await connectRawHttp2(port.port);
    for (let time = 1; time <= 8; time++) {
      using bad = await connectRawHttp2(port.port);
      await bad.send(...bytes);
      expect(await bad.closed).toBeGreaterThan(0);
      expect(statusOf(await sendRaw(port.port, healthCheck('Host: a\r\n')))).toBe(200);
      const id = 2 * time - 1;
      const call = frame(FRAME.headers, FLAG.endHeaders, id, HEALTH_CHECK);
      await good.send(call, frame(FRAME.data, FLAG.endStream, id, Buffer.alloc(5)));
      await good.frame(FRAME.headers, id);
    }
    expect(await port.metric('http_connections_ended_total{reason="PROTOCOL_ERROR"}')).toBe(8);
    expect(await port.metric('http_connections_ended_total{reason="FLOOD"}')).toBe(0);
    expect(await port.metric('http_connections_refused_total{reason="FLOODED"}')).toBe(0);
  });

  it.each([
    ['in clear text, that begins rightly', undefined, 'PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n'],
    ['in clear text, that is a method of HTTP/1.1', undefined, 'PRIOR / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['over TLS', CERTIFICATE, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['over TLS, that begins rightly', CERTIFICATE, 'PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n'],
  ])('is a bad preface %s: it is answered with PROTOCOL_ERROR', async (_name, tls, preface) => {
    await using port = await openPublicPort({ tls });
    const to = { port: port.port, host: '127.0.0.1' };
    const socket = tls === undefined ? connect(to) : connectTls({ ...to, ca: tls.cert, ALPNProtocols: ['h2'] });
    using client = new RawHttp2Client(socket);
    await once(socket, tls === undefined ? 'connect' : 'secureConnect');
    await client.send(Buffer.from(preface));
    expect(await client.closed).toBe(PROTOCOL_ERROR);
    expect(await port.metric('http_connections_ended_total{reason="PROTOCOL_ERROR"}')).toBe(1);
  });

  it('is a bad preface in clear text that begins like nothing: the connection closes without an answer, counted and logged', async () => {
    await using port = await openPublicPort();
    expect(await sendRaw(port.port, 'INVALID CONNECTION PREFACE\r\n\r\n')).toBe('');
    expect(await port.log.line({ refused: 'MALFORMED_REQUEST' })).toMatchObject({ status: 400, bytesOut: 0 });
    expect(await port.metric('http_non_rpc_requests_total{reason="MALFORMED_REQUEST",status="400"}')).toBe(1);
  });
});

/** A call with one field of so many bytes, in frames of the largest size. */
function metadata(bytes: number): Buffer[] {
  const length = Buffer.from([0x7f, ...variableLength(bytes - 127)]);
  const block = Buffer.concat([HEALTH_CHECK, Buffer.from([0, 1, 0x78]), length, Buffer.alloc(bytes, 'a')]);
  const pieces = Array.from({ length: Math.ceil(block.length / FRAME_MAX) }, (_, n) =>
    block.subarray(n * FRAME_MAX, (n + 1) * FRAME_MAX),
  );
  return pieces.map((piece, n) => {
    const flags = n === pieces.length - 1 ? FLAG.endHeaders : FLAG.none;
    return frame(n === 0 ? FRAME.headers : FRAME.continuation, flags, 1, piece);
  });
}

/** What follows a prefix that is full (RFC 7541, 5.1). */
function variableLength(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...variableLength(Math.floor(value / 128))];
}
