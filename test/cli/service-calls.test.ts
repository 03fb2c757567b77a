import { create } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { withRetry } from '#src/cli/service-calls.ts';
import { rpcError } from '#src/rpc/error-details.ts';
import { unavailable } from '#src/rpc/error-mapping.ts';

/** Fails with these errors, one a call, then succeeds; keeps the delays that were asked for. */
async function run(errors: readonly unknown[], options: { attempts?: number; random?: number } = {}) {
  const { attempts = 8, random = 0 } = options;
  const delays: number[] = [];
  let calls = 0;
  const call = async () => {
    if (calls < errors.length) throw errors[calls++];
    calls++;
    return 'done';
  };
  const sleep = async (ms: number) => delays.push(ms);
  const result = await withRetry(call, { attempts, sleep, random: () => random }).catch(error => error);
  return { result, calls, delays };
}

const busy = new ConnectError('busy', Code.Unavailable);
const rateLimited = (seconds: number) => {
  const value = create(RetryInfoSchema, {
    retryDelay: create(DurationSchema, { seconds: BigInt(seconds), nanos: 5e8 }),
  });
  return rpcError(Code.ResourceExhausted, 'slow down', { reason: 'OVERLOADED' }, [{ desc: RetryInfoSchema, value }]);
};

describe('withRetry', () => {
  it('calls once where that succeeds', async () => {
    expect(await run([])).toEqual({ result: 'done', calls: 1, delays: [] });
  });

  it('waits twice as long each time, up to 5 s, and gives up with the last error', async () => {
    const { result, calls, delays } = await run(Array(20).fill(busy));
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 5000]);
    expect(calls).toBe(8);
    expect(result).toBe(busy);
  });

  it('shortens each delay by up to half, by chance', async () => {
    expect((await run([busy, busy], { random: 0.5 })).delays).toEqual([75, 150]);
  });

  it('waits as long as the service asks for, and by chance a little longer', async () => {
    expect((await run([rateLimited(3)])).delays).toEqual([3500]);
    expect((await run([rateLimited(3)], { random: 0.5 })).delays).toEqual([3937.5]);
    expect((await run([unavailable('draining', 'SHUTTING_DOWN')])).delays).toEqual([1000]);
  });

  it('waits no longer than 30 s, whatever the service asks for', async () => {
    expect((await run([rateLimited(86_400)])).delays).toEqual([30_000]);
  });

  it.each([
    ['a passed deadline', new ConnectError('late', Code.DeadlineExceeded)],
    [
      'a connection that broke',
      new ConnectError('reset', Code.Aborted, undefined, undefined, Object.assign(new Error(), { code: 'ECONNRESET' })),
    ],
    ['a write that was in the way', rpcError(Code.Aborted, 'conflict', { reason: 'WRITE_CONFLICT' })],
  ])('calls again after %s', async (_what, error) => {
    expect(await run([error])).toMatchObject({ result: 'done', calls: 2 });
  });

  it.each([
    ['an etag that is not current', rpcError(Code.Aborted, 'changed', { reason: 'ETAG_MISMATCH' })],
    ['a message that is too large', rpcError(Code.ResourceExhausted, 'large', { reason: 'MESSAGE_TOO_LARGE' })],
    ['a request that is refused', rpcError(Code.InvalidArgument, 'bad', { reason: 'VALIDATION_FAILED' })],
    ['a fault of the service', rpcError(Code.Internal, 'internal error', { reason: 'INTERNAL' })],
    ['a fault of ours', new TypeError('x is undefined')],
  ])('does not call again after %s', async (_what, error) => {
    expect(await run([error])).toEqual({ result: error, calls: 1, delays: [] });
  });

  it('ends its waiting when the signal does', async () => {
    const stop = new AbortController();
    const waiting = withRetry(
      async () => {
        setImmediate(() => stop.abort('enough'));
        throw rateLimited(3600);
      },
      { signal: stop.signal },
    );
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError', cause: 'enough' });
  });
});
