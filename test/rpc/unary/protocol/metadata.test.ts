import { describe, expect, it } from 'vitest';
import { addTrailers, pushMetadata } from '#src/rpc/unary/protocol/metadata.ts';

/** What belongs to HTTP or to one of the protocols, and so to no handler. */
const PROTOCOL_FIELDS = [
  'Content-Type',
  'Content-Length',
  'Content-Encoding',
  'Connection',
  'Keep-Alive',
  'Proxy-Connection',
  'Transfer-Encoding',
  'Upgrade',
  'Host',
  'Trailer',
  'TE',
  'Date',
  'Grpc-Status',
  'Grpc-Message',
  'Grpc-Status-Details-Bin',
  'Grpc-Encoding',
  'Connect-Timeout-Ms',
];

describe('pushMetadata', () => {
  it('appends fields, in lower case, behind those that are there', () => {
    const fields = ['x-request-id', '1'];
    pushMetadata(fields, new Headers({ 'X-Lead': 'a', 'x-data-bin': 'AAEC' }), '');
    expect(fields).toEqual(['x-request-id', '1', 'x-data-bin', 'AAEC', 'x-lead', 'a']);
  });

  it('has a prefix for each name, as unary calls of Connect have for trailers', () => {
    const fields: string[] = [];
    pushMetadata(fields, new Headers({ 'x-trail': 'a', 'x-trail-bin': 'AAEC' }), 'trailer-');
    expect(fields).toEqual(['trailer-x-trail', 'a', 'trailer-x-trail-bin', 'AAEC']);
  });

  it('joins a repeated field, binary ones too, as HTTP allows', () => {
    const metadata = new Headers();
    for (const value of ['one', 'two']) metadata.append('x-more', value);
    for (const value of ['AAEC', 'AwQF']) metadata.append('x-more-bin', value);
    const fields: string[] = [];
    pushMetadata(fields, metadata, '');
    expect(fields).toEqual(['x-more', 'one, two', 'x-more-bin', 'AAEC, AwQF']);
  });

  it('repeats Set-Cookie, which can not be joined', () => {
    const metadata = new Headers();
    for (const value of ['a=1', 'b=2']) metadata.append('set-cookie', value);
    const fields: string[] = [];
    pushMetadata(fields, metadata, '');
    expect(fields).toEqual(['set-cookie', 'a=1', 'set-cookie', 'b=2']);
  });

  it.each(PROTOCOL_FIELDS)('leaves out %s', name => {
    const fields: string[] = [];
    pushMetadata(fields, new Headers({ [name]: '1' }), '');
    expect(fields).toEqual([]);
  });
});

describe('addTrailers', () => {
  it('adds to those that are there, and leaves what is the protocol’s as it is', () => {
    const trailers: Record<string, string | string[]> = { 'grpc-status': '0' };
    addTrailers(trailers, new Headers({ 'grpc-status': '5', 'x-trail': 'a', 'x-trail-bin': 'AAEC' }));
    expect(trailers).toEqual({ 'grpc-status': '0', 'x-trail': 'a', 'x-trail-bin': 'AAEC' });
  });

  it('keeps both values of a name that is there already', () => {
    const trailers: Record<string, string | string[]> = {};
    for (const value of ['one', 'two', 'three']) addTrailers(trailers, new Headers({ 'x-more': value }));
    expect(trailers).toEqual({ 'x-more': ['one', 'two', 'three'] });
  });
});
