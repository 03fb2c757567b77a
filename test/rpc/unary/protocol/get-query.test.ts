import { base64Decode } from '@bufbuild/protobuf/wire';
import { transformConnectPostToGetRequest } from '@connectrpc/connect/protocol-connect';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type GetQuery, GetQueryError, parseGetQuery } from '#src/rpc/unary/protocol/get-query.ts';

describe('parseGetQuery', () => {
  it('reads every URL that connect’s own client makes', () => {
    const json = fc.jsonValue().map(value => ({ format: 'json', bytes: Buffer.from(JSON.stringify(value)) }));
    const proto = fc.uint8Array({ maxLength: 40 }).map(bytes => ({ format: 'proto', bytes: Buffer.from(bytes) }));
    fc.assert(
      fc.property(fc.oneof(json, proto), fc.boolean(), ({ format, bytes }, base64) => {
        const binary = format === 'proto';
        const query = parseGetQuery(queryByConnect(format, bytes, base64 || binary));
        expect(query?.binary).toBe(binary);
        expect(Buffer.from((query as { message: Buffer | string }).message)).toEqual(bytes);
      }),
    );
  });

  it('reads an odd query as URLSearchParams and connect do, or says what is wrong', () => {
    const name = fc.constantFrom(
      'message',
      'message',
      'encoding',
      'base64',
      'connect',
      'compression',
      'x',
      '',
      '%6dessage',
    );
    const values = [
      'v1',
      'json',
      'proto',
      'proto',
      '1',
      '0',
      'identity',
      'gzip',
      '%7B%7D',
      'AAEC',
      'AAE',
      'AA=',
      '=',
      '_-8',
    ];
    const value = fc.oneof(
      fc.constantFrom(...values),
      fc.string({ unit: fc.constantFrom(...'a1+%&=;?#/ü_-2F'), maxLength: 8 }),
    );
    const parameter = fc.tuple(name, fc.constantFrom('=', '=', '=', ''), value).map(parts => parts.join(''));
    fc.assert(
      fc.property(fc.array(parameter, { maxLength: 6 }), parameters => {
        const text = ['encoding=json', ...parameters].slice(parameters.length % 2).join('&');
        const query = read(text);
        if (query instanceof GetQueryError) {
          expect(query.message).toMatch(/^(message|encoding|base64|connect|compression): /);
          return;
        }
        const theirs = readByConnect(text);
        expect(query.binary).toBe(theirs.binary);
        // An escaped byte of binary protobuf is a character for connect, and base64 may hold spaces there.
        if (isText(text)) expect(Buffer.from(query.message)).toEqual(theirs.message);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['connect', 'of another version', 'connect=v2&encoding=json&message=%7B%7D'],
    ['encoding', 'of another encoding', 'encoding=xml&message=a'],
    ['encoding', 'without an encoding', 'message=%7B%7D'],
    ['encoding', 'that is empty', ''],
    ['message', 'without a message, in JSON', 'encoding=json'],
    ['message', 'without a message, in protobuf', 'encoding=proto&base64=1'],
    ['message', 'with an escape that is none', 'encoding=json&message=%zz'],
    ['message', 'with an escape that is cut short', 'encoding=proto&message=%a'],
    ['message', 'with an escape that is no UTF-8', 'encoding=json&message=%ff'],
    ['message', 'with a character that is not of base64', 'encoding=proto&base64=1&message=%21'],
    ['message', 'with base64 of an impossible length', 'encoding=proto&base64=1&message=AAAAA'],
    ['message', 'with padding in the middle', 'encoding=proto&base64=1&message=AA=A'],
  ])('names %s in the error of a query %s', (name, _, text) => {
    expect(() => parseGetQuery(text)).toThrow(new RegExp(`^${name}: `));
  });

  it.each([
    ['a space for a plus', 'encoding=json&message=a+b', 'a b'],
    ['the first of two messages', 'encoding=json&message=a&message=b', 'a'],
    ['an empty message', 'encoding=proto&message=', ''],
    ['no base64 but for 1', 'encoding=json&base64=true&message=AAEC', 'AAEC'],
    ['past parameters that it does not know', 'x=1&encoding=json&&message=a&y', 'a'],
    ['past parameters whose names are no UTF-8', '%ff=1&encoding=json&message=a', 'a'],
    ['escaped names', 'encodin%67=json&m%65ssage=a', 'a'],
    ['nothing behind a fragment', 'encoding=json&message=a#&message=b', 'a'],
    ['base64 with a plus that is not escaped', 'encoding=proto&base64=1&message=+/+/', '\xfb\xff\xbf'],
    ['base64 with padding', 'encoding=proto&base64=1&message=AA%3D%3D', '\0'],
    ['escaped bytes of protobuf', 'encoding=proto&message=%0A%01%FFa', '\n\x01\xffa'],
  ])('reads %s', (_, text, message) => {
    expect(Buffer.from(parseGetQuery(text).message).toString('latin1')).toBe(message);
  });

  it.each([
    ['gzip', 'gzip'],
    ['br', 'br'],
    ['identity', undefined],
    ['', undefined],
  ])('reads compression=%s as %s', (given, compression) => {
    expect(parseGetQuery(`encoding=json&base64=1&message=AAEC&compression=${given}`).compression).toBe(compression);
  });
});

function read(text: string): GetQuery | GetQueryError {
  try {
    return parseGetQuery(text);
  } catch (error) {
    if (error instanceof GetQueryError) return error;
    throw error;
  }
}

/** Whether the message is text as it stands: not binary, base64 or compressed. */
function isText(query: string): boolean {
  const { searchParams } = new URL(`http://a/p?${query}`);
  const isPlain = [null, '', 'identity'].includes(searchParams.get('compression'));
  return isPlain && searchParams.get('encoding') === 'json' && searchParams.get('base64') !== '1';
}

function queryByConnect(format: string, bytes: Uint8Array, base64: boolean): string {
  const header = new Headers({ 'content-type': `application/${format}` });
  const request = { header, url: 'http://a/p', requestMethod: 'POST' };
  const { url } = transformConnectPostToGetRequest(request as never, bytes, base64);
  return url.slice(url.indexOf('?') + 1);
}

/** What connect's handler takes for the message. */
function readByConnect(query: string): { readonly binary: boolean; readonly message: Buffer } {
  const { searchParams } = new URL(`http://a/p?${query}`);
  const text = searchParams.get('message') ?? '';
  const message = searchParams.get('base64') === '1' ? base64Decode(text) : new TextEncoder().encode(text);
  return { binary: searchParams.get('encoding') === 'proto', message: Buffer.from(message) };
}
