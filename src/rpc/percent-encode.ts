/** A text for the field grpc-message: bytes other than printable ASCII, and the percent sign, are escaped. */
export function percentEncode(message: string): string {
  return withoutNeedlessEscapes(encodeURIComponent(message.toWellFormed()));
}

/**
 * Removes escapes that gRPC does not require ("Percent-Byte-Unencoded"). encodeURIComponent makes them, and grpc-js shows many of them
 * unchanged: "page_size%3A must be".
 */
export function withoutNeedlessEscapes(escaped: string): string {
  return escaped.replace(NEEDLESS_ESCAPE, decodeURIComponent);
}

/** An escape of printable ASCII other than the percent sign. */
const NEEDLESS_ESCAPE = /%(?!25|7F)[2-7][0-9A-F]/g;
