import { base64Decode } from '@bufbuild/protobuf/wire';

/** The query of a unary call by GET (https://connectrpc.com/docs/protocol#unary-get-request). */
export interface GetQuery {
  /** Whether the message is binary protobuf, or else JSON. */
  readonly binary: boolean;
  readonly message: Buffer | string;
}

/**
 * Reads a query as URLSearchParams does, of which each parameter's first value counts. Undefined for an odd one: of another
 * version, compressed, of another encoding, badly escaped, or with a fragment.
 */
export function parseGetQuery(query: string): GetQuery | undefined {
  let encoding: string | undefined;
  let message: string | undefined;
  let base64: string | undefined;
  if (query.includes('#')) return undefined;
  for (const parameter of query.split('&')) {
    const equals = parameter.indexOf('=');
    const name = equals < 0 ? parameter : parameter.slice(0, equals);
    const value = equals < 0 ? '' : parameter.slice(equals + 1);
    if (name === 'message') message ??= value;
    else if (name === 'encoding') encoding ??= value;
    else if (name === 'base64') base64 ??= value;
    else if (name === 'connect' ? value !== 'v1' : name === 'compression' ? value !== 'identity' : !PLAIN.test(name)) {
      return undefined;
    }
  }
  if (encoding !== 'proto' && encoding !== 'json') return undefined;
  try {
    let text = message ?? '';
    if (!PLAIN.test(text)) text = decodeURIComponent(text.replaceAll('+', ' '));
    const binary = encoding === 'proto';
    if (base64 === '1') return { binary, message: Buffer.from(base64Decode(text)) };
    return { binary, message: binary ? Buffer.from(text) : text };
  } catch {
    return undefined;
  }
}

/** Nothing in it is escaped. */
const PLAIN = /^[^%+]*$/;
