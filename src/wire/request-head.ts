/**
 * The fields of a request's head that unary calls and guards read. They are read in one pass, because an object of all fields costs more
 * than everything that is done with them.
 */
export class RequestHead {
  readonly method: string;
  /** The path, with `?` and the query if there is one, as the client sent it, but without the absolute form. */
  readonly target: string;
  /** The target without its query. */
  readonly path: string;
  /** The authority of a target in absolute form (RFC 9112, 3.2.2); unset: the target is a path. */
  readonly targetHost: string | undefined;
  /** The `Host` field, or HTTP/2's `:authority`. */
  host: string | undefined = undefined;
  acceptEncoding: string | undefined = undefined;
  connectProtocolVersion: string | undefined = undefined;
  connectTimeout: string | undefined = undefined;
  contentEncoding: string | undefined = undefined;
  contentLength: string | undefined = undefined;
  contentType: string | undefined = undefined;
  expect: string | undefined = undefined;
  grpcAcceptEncoding: string | undefined = undefined;
  grpcEncoding: string | undefined = undefined;
  grpcTimeout: string | undefined = undefined;
  ifNoneMatch: string | undefined = undefined;
  origin: string | undefined = undefined;
  requestId: string | undefined = undefined;
  traceparent: string | undefined = undefined;
  transferEncoding: string | undefined = undefined;
  upgrade: string | undefined = undefined;
  userAgent: string | undefined = undefined;
  /** Fields of these that came more than once, except lists, which are joined. The first value counts. */
  repeated: readonly string[] = NONE;

  constructor(method: string, target: string) {
    this.method = method;
    const absolute = target.charCodeAt(0) === SLASH ? null : ABSOLUTE_FORM.exec(target);
    this.targetHost = absolute?.[1];
    this.target = absolute === null ? target : toPath(absolute[2] as string);
    const query = this.target.indexOf('?');
    this.path = query < 0 ? this.target : this.target.slice(0, query);
  }

  /** The query after the `?`; empty if there is none. */
  get query(): string {
    return this.path.length === this.target.length ? '' : this.target.slice(this.path.length + 1);
  }
}

/** @param fields names and values in turn, as they came: `rawHeaders` of Node's request. */
export function readHttp1Head(method: string, target: string, fields: readonly string[]): RequestHead {
  const head = new RequestHead(method, target);
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const candidates = NAMES_BY_LENGTH[name.length];
    if (candidates === undefined) continue;
    for (const { lower, usual, key } of candidates) {
      if (name !== lower && name !== usual && name.toLowerCase() !== lower) continue;
      if (head[key] === undefined) head[key] = fields[i + 1];
      else if (LISTS.has(key)) head[key] += `, ${fields[i + 1]}`;
      else head.repeated = [...head.repeated, key];
      break;
    }
  }
  return head;
}

/**
 * @param headers of Node's HTTP/2 stream: names are in lower case, and repeated fields are already joined or dropped.
 * @param fields the same as they came: names and values alternate.
 */
export function readHttp2Head(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  fields: readonly string[],
): RequestHead {
  const head = new RequestHead(headers[':method'] as string, (headers[':path'] as string | undefined) ?? '');
  head.host = (headers[':authority'] ?? headers.host) as string | undefined;
  head.acceptEncoding = headers['accept-encoding'] as string | undefined;
  head.connectProtocolVersion = headers['connect-protocol-version'] as string | undefined;
  head.connectTimeout = headers['connect-timeout-ms'] as string | undefined;
  head.contentEncoding = headers['content-encoding'] as string | undefined;
  head.contentLength = headers['content-length'] as string | undefined;
  head.contentType = headers['content-type'] as string | undefined;
  head.expect = headers.expect as string | undefined;
  head.grpcAcceptEncoding = headers['grpc-accept-encoding'] as string | undefined;
  head.grpcEncoding = headers['grpc-encoding'] as string | undefined;
  head.grpcTimeout = headers['grpc-timeout'] as string | undefined;
  if (headers['if-none-match'] !== undefined) head.ifNoneMatch = joined(fields, 'if-none-match');
  head.origin = headers.origin as string | undefined;
  head.requestId = headers['x-request-id'] as string | undefined;
  head.traceparent = headers.traceparent as string | undefined;
  head.upgrade = headers.upgrade as string | undefined;
  head.userAgent = headers['user-agent'] as string | undefined;
  return head;
}

/** Several lines of a list are one list (RFC 9110, 5.3). Node keeps only the first line of this field. */
function joined(fields: readonly string[], name: string): string {
  return fields.filter((_, i) => i % 2 === 1 && fields[i - 1] === name).join(', ');
}

/** The path of a target in absolute form. Only an empty path has no slash. */
function toPath(text: string): string {
  return text.startsWith('/') ? text : `/${text}`;
}

const SLASH = 0x2f;
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)(.*)$/i;
const NONE: readonly string[] = Object.freeze([]);

type HeadKey = {
  [K in keyof RequestHead]: RequestHead[K] extends string | undefined
    ? K extends 'method' | 'target' | 'targetHost' | 'path' | 'query'
      ? never
      : K
    : never;
}[keyof RequestHead];

const NAMES = [
  ['Host', 'host'],
  ['Accept-Encoding', 'acceptEncoding'],
  ['Connect-Protocol-Version', 'connectProtocolVersion'],
  ['Connect-Timeout-Ms', 'connectTimeout'],
  ['Content-Encoding', 'contentEncoding'],
  ['Content-Length', 'contentLength'],
  ['Content-Type', 'contentType'],
  ['Expect', 'expect'],
  ['Grpc-Accept-Encoding', 'grpcAcceptEncoding'],
  ['Grpc-Encoding', 'grpcEncoding'],
  ['Grpc-Timeout', 'grpcTimeout'],
  ['If-None-Match', 'ifNoneMatch'],
  ['Origin', 'origin'],
  ['Traceparent', 'traceparent'],
  ['Transfer-Encoding', 'transferEncoding'],
  ['Upgrade', 'upgrade'],
  ['User-Agent', 'userAgent'],
  ['X-Request-Id', 'requestId'],
] as const;

/** Fields whose value is a list. */
const LISTS: ReadonlySet<string> = new Set(['acceptEncoding', 'grpcAcceptEncoding', 'ifNoneMatch']);

/** The fields by the length of their names: comparing a few names is cheaper than hashing each. */
const NAMES_BY_LENGTH: readonly ({ lower: string; usual: string; key: HeadKey }[] | undefined)[] = (() => {
  const byLength: { lower: string; usual: string; key: HeadKey }[][] = [];
  for (const [usual, key] of NAMES) {
    const names = byLength[usual.length] ?? [];
    names.push({ lower: usual.toLowerCase(), usual, key });
    byLength[usual.length] = names;
  }
  return byLength;
})();
