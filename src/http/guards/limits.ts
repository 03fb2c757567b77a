import { HEADERS_MAX_BYTES, HEADERS_MAX_COUNT } from '#src/http/guards/request-guard.ts';
import { STREAM_RESETS } from '#src/wire/stream-resets.ts';

/** The time limit of a connection's first bytes. Together with `headersTimeout`, the head arrives within 15 s. */
export const FIRST_BYTES_TIMEOUT_MS = 3_000;

/** The time limit of a PROXY header. A proxy sends it with its first bytes, before its client sends anything. */
export const PROXY_HEADER_TIMEOUT_MS = 3_000;

/** The time limit of a whole request. 4 MiB in that time is 2.8 Mbit/s. */
export const BODY_TIMEOUT_MS = 12_000;

export const HTTP1_LIMITS = {
  maxHeaderSize: HEADERS_MAX_BYTES,
  headersTimeout: 10_000,
  requestTimeout: BODY_TIMEOUT_MS,
  connectionsCheckingInterval: 1_000,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
  // The request guard refuses it with an answer and a line in the log, where Node would give neither.
  requireHostHeader: false,
} as const;

/** One more than the guard accepts. Node silently drops fields above its limit, and the guard must see that there are more. */
export const HTTP1_MAX_HEADERS_COUNT = HEADERS_MAX_COUNT + 1;

export const TLS_LIMITS = {
  // Like Node's HTTP server without TLS.
  allowHalfOpen: true,
  ALPNProtocols: ['h2', 'http/1.1'],
  handshakeTimeout: 5_000,
  minVersion: 'TLSv1.2' as const,
};

export const HTTP2_LIMITS = {
  settings: {
    // Many callers share a connection, and Node counts the streams of cancelled calls until its next turn. 500 calls a second that are
    // cancelled after 300 ms, and a pause of a second, must leave room for others. Running calls are bounded elsewhere.
    maxConcurrentStreams: 1000,
    initialWindowSize: 256 * 1024,
    // Above the guard's limit, so that the guard can answer: Node would only reset a stream silently. Not above nghttp2's limit of one
    // field, because it ends the connection then, and an advertised limit must never cost a connection.
    maxHeaderListSize: 64 * 1024,
    enablePush: false,
  },
  // As many as fit into that size.
  maxHeaderListPairs: 2_048,
  // Streams beyond the limit are reset at once, at little cost. Streams that were reset in the same read still count as open, so a client
  // may have as many as it may cancel.
  maxSessionRejectedStreams: STREAM_RESETS.burst,
  // stream-resets.ts acts and reports first. This limit is for the resets of one read.
  streamResetBurst: 2 * STREAM_RESETS.burst,
  streamResetRate: 2 * STREAM_RESETS.perSecond,
  // The guard refuses a field value with whitespace at its ends (RFC 9113, 8.2.1). nghttp2 would drop the field silently.
  strictFieldWhitespaceValidation: false,
} as const;

/** The most unread bytes of all streams of one HTTP/2 connection. */
export const HTTP2_CONNECTION_WINDOW = 1024 * 1024;

/** How often all connections are checked. */
export const CONNECTION_LOOK_EVERY_MS = 500;

export const HTTP2_KEEPALIVE = {
  // Below the minute or more after which NATs and balancers forget a silent connection.
  idlePingMs: 30_000,
  // With the time of the answer and of the checks, less than 15 s for a header that does not end.
  unprovenPingMs: 3_000,
  pongWithinMs: 10_000,
} as const;

export const STALL_LIMITS = {
  stallMs: 20_000,
  // 256 kbit/s. No page waits for a slower client.
  minBytesPerSecond: 32 * 1024,
  // A dozen pages of the largest size.
  budgetBytes: 64 * 1024 * 1024,
} as const;

/** The time limit of the client's acknowledgement of our HTTP/2 settings. */
export const HTTP2_HANDSHAKE_TIMEOUT_MS = 10_000;
