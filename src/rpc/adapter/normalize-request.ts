import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { boundDeadline } from '#src/rpc/adapter/deadline.ts';
import { formatOf } from '#src/rpc/media-type.ts';
import type { DeadlineBounds } from '#src/rpc/unary/protocol/timeout.ts';
import { contentCodingOf } from '#src/wire/content-coding.ts';
import type { RequestHead } from '#src/wire/request-head.ts';

/**
 * Rewrites a request, in place, into the forms that connect-node reads. HTTP allows more: a target in absolute form, hosts that are not
 * valid in a URL, content types with parameters or capitals, and other names of codings.
 *
 * @param bounds of the deadline, which is changed to be within them.
 */
export function normalizeRequest(
  request: IncomingMessage | Http2ServerRequest,
  head: RequestHead,
  bounds: DeadlineBounds,
): void {
  const { headers } = request;
  request.url = head.target;
  const host = head.targetHost ?? head.host ?? '';
  const named = URL.canParse(`http://${host}`) ? host : UNNAMED_HOST;
  headers.host = named;
  if (':authority' in headers) headers[':authority'] = named;
  const type = formatOf(headers['content-type'])?.type;
  if (type !== undefined) headers['content-type'] = type;
  for (const name of CODING_FIELDS) {
    const coding = headers[name];
    if (typeof coding === 'string') headers[name] = contentCodingOf(coding) ?? 'identity';
  }
  const accepted = headers['accept-encoding'];
  if (typeof accepted === 'string') headers['accept-encoding'] = accepted.toLowerCase().replaceAll('x-gzip', 'gzip');
  boundDeadline(headers, bounds);
}

const CODING_FIELDS = ['content-encoding', 'connect-content-encoding', 'grpc-encoding'];
/** It is used only to make a URL. */
const UNNAMED_HOST = 'unnamed.invalid';
