/**
 * Appends the metadata of a handler or an error to a response's fields. It leaves out fields of the protocol, like connect-node and
 * connect-go.
 */
export function pushMetadata(fields: string[], metadata: Headers, prefix: string): void {
  metadata.forEach((value, name) => {
    if (!PROTOCOL_FIELDS.has(name)) fields.push(prefix + name, value);
  });
}

/** The same for trailers of HTTP/2. */
export function addTrailers(trailers: Record<string, string | string[]>, metadata: Headers): void {
  metadata.forEach((value, name) => {
    if (PROTOCOL_FIELDS.has(name)) return;
    const given = trailers[name];
    trailers[name] = given === undefined ? value : [given, value].flat();
  });
}

const PROTOCOL_FIELDS: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connect-accept-encoding',
  'connect-content-encoding',
  'connect-protocol-version',
  'connect-timeout-ms',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'date',
  'grpc-accept-encoding',
  'grpc-encoding',
  'grpc-message',
  'grpc-status',
  'grpc-status-details-bin',
  'grpc-timeout',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
]);
