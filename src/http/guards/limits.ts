import { HEADERS_MAX_BYTES, HEADERS_MAX_COUNT } from '#src/http/guards/request-guard.ts';
import { STREAM_RESETS } from '#src/wire/stream-resets.ts';

/** The first bytes of a connection must come within this; with `headersTimeout` 15 s at most until the head is there. */
export const FIRST_BYTES_TIMEOUT_MS = 3_000;

/** A PROXY header must come within this. A proxy sends it with its first bytes, before it has anything from its client. */
export const PROXY_HEADER_TIMEOUT_MS = 3_000;

/** How long a request may take to arrive, body and all. 4 MiB in that time is 2.8 Mbit/s. */
export const BODY_TIMEOUT_MS = 12_000;

export const HTTP1_LIMITS = {
  maxHeaderSize: HEADERS_MAX_BYTES,
  headersTimeout: 10_000,
  requestTimeout: BODY_TIMEOUT_MS,
  connectionsCheckingInterval: 1_000,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
  // The request guard refuses it, with an answer and a line in the log; Node would do so without.
  requireHostHeader: false,
} as const;

/** One more than the guard takes: Node drops the fields above its limit silently, and the guard must see that there are. */
export const HTTP1_MAX_HEADERS_COUNT = HEADERS_MAX_COUNT + 1;

export const TLS_LIMITS = {
  // As Node's HTTP server has it without TLS.
  allowHalfOpen: true,
  ALPNProtocols: ['h2', 'http/1.1'],
  handshakeTimeout: 5_000,
  minVersion: 'TLSv1.2' as const,
};

export const HTTP2_LIMITS = {
  settings: {
    // Many callers share a connection, and Node counts the streams of cancelled calls until its next turn. 500 a second that are cancelled
    // after 300 ms, and a pause of a second, must leave room for others. What runs at once is bounded elsewhere.
    maxConcurrentStreams: 1000,
    initialWindowSize: 256 * 1024,
    // Above what the guard takes, so that it can answer: Node only resets a stream with more, and nobody hears of it. Not above what
    // nghttp2 takes as one field: it ends the connection for that, and what we advertise must never cost a client its connection.
    maxHeaderListSize: 64 * 1024,
    enablePush: false,
  },
  // As many as that size has room for.
  maxHeaderListPairs: 2_048,
  // Streams that come while as many are open are reset at once, at little cost. Those that were reset in the same read still count as
  // open, so a client that cancels is to be given as many as it may cancel.
  maxSessionRejectedStreams: STREAM_RESETS.burst,
  // stream-resets.ts acts first, and says so; this is for those of one read.
  streamResetBurst: 2 * STREAM_RESETS.burst,
  streamResetRate: 2 * STREAM_RESETS.perSecond,
  // The guard refuses a field value with whitespace at its ends (RFC 9113, 8.2.1); nghttp2 would drop the field silently.
  strictFieldWhitespaceValidation: false,
} as const;

/** Bytes of all streams of one HTTP/2 connection that may be on their way to us unread. */
export const HTTP2_CONNECTION_WINDOW = 1024 * 1024;

/** How often all connections are looked at, for what follows. */
export const CONNECTION_LOOK_EVERY_MS = 500;

export const HTTP2_KEEPALIVE = {
  // Below the minute or more after which NATs and balancers forget a silent connection.
  idlePingMs: 30_000,
  // With the answer's time, and the looks', less than 15 s for a header that does not end.
  unprovenPingMs: 3_000,
  pongWithinMs: 10_000,
} as const;

export const STALL_LIMITS = {
  stallMs: 20_000,
  // 256 kbit/s: what is slower, no page waits for.
  minBytesPerSecond: 32 * 1024,
  // A dozen of the largest pages.
  budgetBytes: 64 * 1024 * 1024,
} as const;

/** The client's acknowledgement of our HTTP/2 settings must come within this. */
export const HTTP2_HANDSHAKE_TIMEOUT_MS = 10_000;
