import { parseTimeout as parseConnect } from '@connectrpc/connect/protocol-connect';
import { parseTimeout as parseGrpc } from '@connectrpc/connect/protocol-grpc';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundDeadline, UNBOUNDED } from '#src/rpc/adapter/deadline.ts';

const BOUNDS = { defaultMs: 10_000, maxMs: 60_000 };

/** The header after boundDeadline. */
function bound(given: string | undefined, contentType = 'application/json', bounds = BOUNDS): string | undefined {
  const grpc = contentType.startsWith('application/grpc');
  const name = grpc ? 'grpc-timeout' : 'connect-timeout-ms';
  const headers: Record<string, string> = { 'content-type': contentType };
  if (given !== undefined) headers[name] = given;
  boundDeadline(headers, bounds);
  return headers[name];
}

/** What the RPC library makes of the header: milliseconds, or 'refused', which it answers with INVALID_ARGUMENT. */
function outcome(given: string | undefined, contentType: string, bounds = BOUNDS): number | 'refused' | undefined {
  const parse = contentType.startsWith('application/grpc') ? parseGrpc : parseConnect;
  const { error, timeoutMs } = parse(bound(given, contentType, bounds) ?? null, bounds.maxMs);
  return error === undefined ? timeoutMs : 'refused';
}

describe('boundDeadline', () => {
  it('sets the default for a call without a deadline', () => {
    expect(bound(undefined)).toBe('10000');
    expect(bound(undefined, 'application/grpc')).toBe('10000m');
    expect(bound(undefined, 'application/grpc-web+proto')).toBe('10000m');
  });

  it('sets the default for a request without a content type, such as a GET', () => {
    const headers: Record<string, string> = {};
    boundDeadline(headers, BOUNDS);
    expect(headers).toEqual({ 'connect-timeout-ms': '10000' });
  });

  it('leaves a deadline within bounds as it is', () => {
    for (const value of ['1', '60000', '0005']) expect(bound(value)).toBe(value);
    for (const value of ['1m', '60S', '1M', '999000u']) expect(bound(value, 'application/grpc')).toBe(value);
  });

  it.each(['60001', '2147483648', '9999999999'])('cuts a Connect deadline of %s ms to the maximum', value => {
    expect(bound(value)).toBe('60000');
  });

  it.each(['61S', '2M', '99999999m', '99999999H'])('cuts a gRPC deadline of %s to the maximum', value => {
    expect(bound(value, 'application/grpc')).toBe('60000m');
  });

  it.each(['abc', '-1', '0', '0000', '1.5', '1e3', '', ' ', '99999999999', '5, 10', '+1'])(
    'has the Connect deadline %j refused',
    value => expect(outcome(value, 'application/json')).toBe('refused'),
  );

  it.each(['abc', '-1S', '0S', '0n', '100', '1s', '1h', 'S', '', '123456789m', '1 S', '1constructor', '5S, 5S'])(
    'has the gRPC deadline %j refused',
    value => expect(outcome(value, 'application/grpc')).toBe('refused'),
  );

  it('takes a gRPC deadline below a millisecond as one, the least that a timer can hold', () => {
    expect(bound('1n', 'application/grpc')).toBe('1m');
    expect(bound('999u', 'application/grpc')).toBe('1m');
  });

  it('reads only the header of the protocol that is spoken', () => {
    const headers = { 'content-type': 'application/grpc', 'connect-timeout-ms': '0', 'grpc-timeout': '5S' };
    boundDeadline(headers, BOUNDS);
    expect(headers).toEqual({ 'content-type': 'application/grpc', 'connect-timeout-ms': '0', 'grpc-timeout': '5S' });
  });

  it('gives a call that stays open no deadline of its own, and cuts to what a timer can hold', () => {
    expect(bound(undefined, 'application/grpc', UNBOUNDED as typeof BOUNDS)).toBeUndefined();
    expect(outcome('99999999H', 'application/grpc', UNBOUNDED as typeof BOUNDS)).toBe(2_147_483_000);
    expect(outcome('9999999999', 'application/json', UNBOUNDED as typeof BOUNDS)).toBe(2 ** 31 - 1);
  });

  it('makes of any header value a deadline within bounds, or one that is refused', () => {
    const nearlyGrpc = fc.stringMatching(/^-?[0-9]{0,12}[HMSmunhs]?$/);
    const value = fc.oneof(fc.string(), fc.integer().map(String), fc.bigInt().map(String), nearlyGrpc);
    const contentType = fc.constantFrom(
      'application/json',
      'application/proto',
      'application/grpc',
      'application/grpc-web',
    );
    const bounds = fc.record({
      defaultMs: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      maxMs: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    });
    fc.assert(
      fc.property(fc.option(value, { nil: undefined }), contentType, bounds, (given, type, limits) => {
        const result = outcome(given, type, limits);
        if (given === undefined) expect(result).not.toBe('refused');
        if (result === 'refused') return;
        expect(result).toBeGreaterThanOrEqual(1);
        expect(result).toBeLessThanOrEqual(limits.maxMs);
      }),
      { numRuns: 2000 },
    );
  });

  it('changes nothing when it is applied to its own result', () => {
    const value = fc.stringMatching(/^[0-9]{1,10}$/);
    fc.assert(
      fc.property(value, given => {
        expect(bound(bound(given))).toBe(bound(given));
      }),
    );
  });
});
