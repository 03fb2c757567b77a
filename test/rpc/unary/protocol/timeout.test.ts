import { parseTimeout as parseConnect } from '@connectrpc/connect/protocol-connect';
import { parseTimeout as parseGrpc } from '@connectrpc/connect/protocol-grpc';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConnectTimeout, parseGrpcTimeout, parseTimeout } from '#src/rpc/unary/protocol/timeout.ts';
import { RequestHead } from '#src/wire/request-head.ts';

const digits = fc.string({ unit: fc.constantFrom(...'0123456789'), maxLength: 12 });
const odd = fc.string({ unit: fc.constantFrom(...'0123456789HMSmunsx-+. _\n'), maxLength: 12 });
const BOUNDS = { defaultMs: 10_000, maxMs: 60_000 };

describe('parseConnectTimeout', () => {
  it('reads what connect reads, and refuses what it refuses', () => {
    fc.assert(
      fc.property(fc.oneof(digits, odd, fc.nat().map(String)), value => {
        const { timeoutMs } = parseConnect(value, Number.POSITIVE_INFINITY);
        expect(parseConnectTimeout(value)).toBe(timeoutMs);
      }),
    );
  });
});

describe('parseGrpcTimeout', () => {
  const unit = fc.constantFrom(...'HMSmun');
  const spelt = fc.tuple(fc.nat({ max: 99_999_999 }), unit).map(([value, one]) => value + one);
  const any = fc.oneof(
    spelt,
    fc.tuple(digits, fc.string({ maxLength: 2 })).map(parts => parts.join('')),
    odd,
  );

  it('reads what connect reads, and refuses what it refuses', () => {
    fc.assert(
      fc.property(any, value => {
        const { timeoutMs } = parseGrpc(value, Number.POSITIVE_INFINITY);
        expect(parseGrpcTimeout(value)).toBe(timeoutMs);
      }),
    );
  });

  it('knows every unit', () => {
    const units = { '2H': 7_200_000, '2M': 120_000, '2S': 2000, '2m': 2, '2000u': 2, '2000000n': 2 };
    for (const [value, timeoutMs] of Object.entries(units)) expect(parseGrpcTimeout(value)).toBeCloseTo(timeoutMs, 9);
  });
});

describe('parseTimeout', () => {
  it.each([
    ['the default where there is none', false, undefined, 10_000],
    ['the client’s own, also above the default', false, '20000', 20_000],
    ['the most that may be, for a longer one', false, '9999999999', 60_000],
    ['the most that may be, for a longer one of gRPC', true, '99999999H', 60_000],
    ['1 ms for a shorter one', true, '1n', 1],
    ['null for 0', false, '0', null],
    ['null for 0 of gRPC', true, '0S', null],
    ['null for what is below 0', false, '-1', null],
    ['null for what is no number', true, 'abc', null],
    ['null for nothing', false, '', null],
  ])('is %s', (_, grpc, value, timeoutMs) => {
    expect(parseTimeout(headOf(grpc, value), grpc, BOUNDS)).toBe(timeoutMs);
  });

  it('is undefined where there is none and no default', () => {
    expect(parseTimeout(headOf(false, undefined), false, { ...BOUNDS, defaultMs: undefined })).toBeUndefined();
  });

  it('looks at no field of the other protocol', () => {
    expect(parseTimeout(headOf(true, '1S'), false, BOUNDS)).toBe(10_000);
    expect(parseTimeout(headOf(false, '1000'), true, BOUNDS)).toBe(10_000);
  });

  it('is within the bounds, whatever a client sends', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.oneof(digits, odd), (grpc, value) => {
        const timeoutMs = parseTimeout(headOf(grpc, value), grpc, BOUNDS);
        if (timeoutMs === null) return;
        expect(timeoutMs).toBeGreaterThanOrEqual(1);
        expect(timeoutMs).toBeLessThanOrEqual(BOUNDS.maxMs);
      }),
    );
  });
});

function headOf(grpc: boolean, value: string | undefined): RequestHead {
  return Object.assign(new RequestHead('POST', '/'), { [grpc ? 'grpcTimeout' : 'connectTimeout']: value });
}
