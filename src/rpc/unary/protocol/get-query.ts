/** The query of a unary call by GET (https://connectrpc.com/docs/protocol#unary-get-request). */
export interface GetQuery {
  /** Whether the message is binary protobuf. Otherwise it is JSON. */
  readonly binary: boolean;
  /** The compression of the message, such as `gzip`; undefined: none. */
  readonly compression: string | undefined;
  readonly message: Buffer | string;
}

/** The query is not valid. The message names the parameter, and what it must be. */
export class GetQueryError extends Error {
  override readonly name = 'GetQueryError';
  /** The HTTP status: 415 for an unknown codec, as for POST, and otherwise 400. */
  readonly status: 400 | 415;

  constructor(message: string, status: 400 | 415 = 400) {
    super(message);
    this.status = status;
  }
}

/**
 * Reads a query. Names and values may be escaped. The first of repeated parameters counts, and unknown ones are ignored. A fragment (`#`)
 * does not belong to a request.
 *
 * Bytes stay as they are: an escape of binary protobuf is a byte, not a character.
 *
 * @throws GetQueryError if a parameter is missing or malformed, or not in the protocol.
 */
export function parseGetQuery(query: string): GetQuery {
  const { message, encoding, base64, compression, connect } = parametersOf(query);
  if (connect !== undefined && connect !== 'v1') throw new GetQueryError('connect: must be v1');
  if (encoding !== 'proto' && encoding !== 'json') throw new GetQueryError('encoding: must be proto or json', 415);
  if (message === undefined) {
    throw new GetQueryError(
      'message: is missing; an empty message of binary protobuf is message= with nothing behind it',
    );
  }
  const binary = encoding === 'proto';
  const isCompressed = compression !== undefined && compression !== '' && compression !== 'identity';
  return {
    binary,
    compression: isCompressed ? compression : undefined,
    message:
      base64 === '1'
        ? decodeBase64(message)
        : binary || isCompressed
          ? unescapeBytes(message)
          : unescapeText('message', message),
  };
}

/** The known parameters: the message unchanged, the others unescaped. */
function parametersOf(query: string): Partial<Record<(typeof NAMES)[number], string>> {
  const found: Partial<Record<string, string>> = {};
  const end = query.indexOf('#');
  for (const parameter of (end < 0 ? query : query.slice(0, end)).split('&')) {
    const equals = parameter.indexOf('=');
    const rawName = equals < 0 ? parameter : parameter.slice(0, equals);
    const name = PLAIN.test(rawName) ? rawName : (tryUnescape(rawName) ?? '');
    if (found[name] !== undefined || !NAMES.includes(name as 'message')) continue;
    const value = equals < 0 ? '' : parameter.slice(equals + 1);
    found[name] = name === 'message' ? value : unescapeText(name, value);
  }
  return found;
}

function unescapeText(name: string, text: string): string {
  const plain = PLAIN.test(text) ? text : tryUnescape(text);
  if (plain === undefined) throw new GetQueryError(`${name}: must be UTF-8, with well-formed escapes (%20)`);
  return plain;
}

/** @returns undefined if an escape is malformed, or its bytes are not UTF-8. */
function tryUnescape(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

function unescapeBytes(text: string): Buffer {
  if (PLAIN.test(text)) return Buffer.from(text, 'latin1');
  if (MALFORMED_ESCAPE.test(text)) throw new GetQueryError('message: must have well-formed escapes (%20)');
  const unescaped = text
    .replaceAll('+', ' ')
    .replaceAll(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return Buffer.from(unescaped, 'latin1');
}

/** Both alphabets, with or without padding. A plus without an escape has become a space. */
function decodeBase64(text: string): Buffer {
  const plain = unescapeText('message', text).replaceAll(' ', '+');
  if (!BASE64.test(plain) || plain.replaceAll('=', '').length % 4 === 1) {
    throw new GetQueryError('message: must be base64, since base64=1');
  }
  return Buffer.from(plain, 'base64');
}

const NAMES = ['message', 'encoding', 'base64', 'compression', 'connect'] as const;
/** It has no escapes. */
const PLAIN = /^[^%+]*$/;
const MALFORMED_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;
