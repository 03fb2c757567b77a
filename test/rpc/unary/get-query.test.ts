import { base64Decode } from '@bufbuild/protobuf/wire';
import { transformConnectPostToGetRequest } from '@connectrpc/connect/protocol-connect';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGetQuery } from '#src/rpc/unary/get-query.ts';

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

  it('reads an odd query as URLSearchParams and connect do, or not at all', () => {
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
    const value = fc.oneof(
      fc.constantFrom(
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
      ),
      fc.string({ unit: fc.constantFrom(...'a1+%&=;?#/ü_-2F'), maxLength: 8 }),
    );
    const parameter = fc.tuple(name, fc.constantFrom('=', '=', '=', ''), value).map(parts => parts.join(''));
    fc.assert(
      fc.property(fc.array(parameter, { maxLength: 6 }), parameters => {
        const text = ['encoding=json', ...parameters].slice(parameters.length % 2).join('&');
        const query = parseGetQuery(text);
        if (query === undefined) return;
        const theirs = readByConnect(text);
        expect([query.binary, Buffer.from(query.message)]).toEqual([theirs.binary, theirs.message]);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['of another version', 'connect=v2&encoding=json&message=%7B%7D'],
    ['that is compressed', 'encoding=json&base64=1&compression=gzip&message=AAAA'],
    ['of another encoding', 'encoding=xml&message=a'],
    ['without an encoding', 'message=%7B%7D'],
    ['with an escape that is none', 'encoding=json&message=%zz'],
    ['with an escape that is no UTF-8', 'encoding=json&message=%ff'],
    ['with base64 that is none', 'encoding=proto&base64=1&message=%21'],
    ['whose names are escaped', 'encoding=json&m%65ssage=a'],
    ['that goes on behind a fragment', 'encoding=json&message=%7B%7D#x'],
    ['that is empty', ''],
  ])('leaves a query %s to connect', (_, text) => {
    expect(parseGetQuery(text)).toBeUndefined();
  });

  it.each([
    ['a space for a plus', 'encoding=json&message=a+b', 'a b'],
    ['the first of two messages', 'encoding=json&message=a&message=b', 'a'],
    ['nothing for no message', 'encoding=json', ''],
    ['no base64 but for 1', 'encoding=json&base64=true&message=AAEC', 'AAEC'],
    ['past parameters that it does not know', 'x=1&encoding=json&&message=a&y', 'a'],
  ])('reads %s', (_, text, message) => {
    expect(parseGetQuery(text)?.message).toBe(message);
  });
});

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
