/**
 * How long an HTTP/1.1 answer is, head and all, as its head says.
 *
 * @param received what has come of it until now, and nothing of a next one.
 * @returns undefined where the head is not complete, or says that the body comes in chunks.
 * @throws where it has another status than 200, or no end that could be told.
 */
export function declaredLength(received: Buffer): number | undefined {
  const text = received.toString('latin1');
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd).toLowerCase();
  if (!head.startsWith('http/1.1 200')) throw new Error(`answered ${text}`);
  if (/^transfer-encoding: *chunked/m.test(head)) return undefined;
  const bodyLength = /^content-length: *(\d+)/m.exec(head)?.[1];
  if (bodyLength === undefined) throw new Error(`answered without a length: ${head}`);
  return headEnd + 4 + Number(bodyLength);
}

/** The length of an answer that is complete; undefined where it is not. */
export function completeLength(received: Buffer): number | undefined {
  const length = declaredLength(received);
  if (length !== undefined) return received.length < length ? undefined : length;
  return received.toString('latin1').endsWith('\r\n0\r\n\r\n') ? received.length : undefined;
}
