import { create } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError, createClient, createRouterTransport } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { withRetries } from '#client/retry.ts';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const REQUEST_ID = '6b0b0a5c-6f8c-4b63-9d0c-2f1c1f8f4d11';

describe('A client', () => {
  it('makes a read again that failed with UNAVAILABLE', async () => {
    const server = aServer(['unavailable', 'unavailable', 'well']);
    expect(await inTime(server.client().getPost({}))).toMatchObject({ $typeName: 'blog.v1.GetPostResponse' });
    expect(server.calls).toBe(3);
  });

  it('gives up after four attempts', async () => {
    const server = aServer(['unavailable']);
    await expect(inTime(server.client().getPost({}))).rejects.toMatchObject({ code: Code.Unavailable });
    expect(server.calls).toBe(4);
  });

  it.each([
    ['a creation with a request_id', 4, { requestId: REQUEST_ID }],
    ['a creation without one', 1, {}],
  ])('makes %s %i times', async (_name, calls, request) => {
    const server = aServer(['unavailable']);
    await expect(inTime(server.client().createPost(request))).rejects.toMatchObject({ code: Code.Unavailable });
    expect(server.calls).toBe(calls);
  });

  it.each([
    ['all of whose posts have a request_id', 4, [{ requestId: REQUEST_ID }, { requestId: REQUEST_ID }]],
    ['one of whose posts has none', 1, [{ requestId: REQUEST_ID }, {}]],
    ['of nothing', 1, []],
  ])('makes a batch %s %i times', async (_name, calls, requests) => {
    const server = aServer(['unavailable']);
    await expect(inTime(server.client().batchCreatePosts({ requests }))).rejects.toBeInstanceOf(ConnectError);
    expect(server.calls).toBe(calls);
  });

  it('makes no update again, which the server would not know', async () => {
    const server = aServer(['unavailable']);
    await expect(inTime(server.client().updatePost({}))).rejects.toMatchObject({ code: Code.Unavailable });
    expect(server.calls).toBe(1);
  });

  it.each([Code.Internal, Code.ResourceExhausted, Code.DeadlineExceeded, Code.Aborted])(
    'makes nothing again that failed with %i',
    async code => {
      const server = aServer([code]);
      await expect(inTime(server.client().getPost({}))).rejects.toMatchObject({ code });
      expect(server.calls).toBe(1);
    },
  );

  it('waits longer each time, and less by chance', async () => {
    const server = aServer(['unavailable']);
    await inTime(server.client().getPost({})).catch(() => {});
    const pauses = server.times.slice(1).map((time, n) => time - (server.times[n] as number));
    for (const [n, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(50 * 2 ** n);
      expect(pause).toBeLessThanOrEqual(100 * 2 ** n + 1);
    }
  });

  it('waits as long as the server asks for', async () => {
    const server = aServer(['unavailable for 3 s', 'well']);
    await inTime(server.client().getPost({}));
    expect(server.times[1]).toBeGreaterThanOrEqual((server.times[0] as number) + 3000);
  });

  it('does not wait beyond its deadline', async () => {
    const server = aServer(['unavailable for 3 s', 'well']);
    const call = server.client().getPost({}, { timeoutMs: 2000 });
    await expect(inTime(call)).rejects.toMatchObject({ code: Code.Unavailable });
    expect(server.calls).toBe(1);
  });

  it('stops waiting when the call is aborted', async () => {
    const server = aServer(['unavailable for 3 s', 'well']);
    const caller = new AbortController();
    const call = server.client().getPost({}, { signal: caller.signal });
    setTimeout(() => caller.abort(), 1000);
    await expect(inTime(call)).rejects.toMatchObject({ code: Code.Canceled });
    expect(server.calls).toBe(1);
  });

  it('makes no storm: 100 clients send 1.1 times their calls at most while a server is down for 30 s', async () => {
    const server = aServer(['unavailable']);
    let calls = 0;
    const clients = Array.from({ length: 100 }, () => server.client());
    const pending: Promise<unknown>[] = [];
    for (let second = 0; second < 30; second++) {
      for (const client of clients) {
        for (let n = 0; n < 2; n++) {
          calls++;
          pending.push(client.getPost({}).catch(() => {}));
        }
      }
      await vi.advanceTimersByTimeAsync(1000);
    }
    await inTime(Promise.all(pending));
    expect(server.calls).toBeLessThanOrEqual(calls * 1.1);
  });

  it('makes calls again once others go well', async () => {
    const server = aServer(['unavailable']);
    const client = server.client();
    for (let n = 0; n < 10; n++) await inTime(client.getPost({})).catch(() => {});
    const drained = server.calls;
    await inTime(client.getPost({})).catch(() => {});
    expect(server.calls).toBe(drained + 1);
    server.answers = ['well'];
    for (let n = 0; n < 70; n++) await inTime(client.getPost({}));
    server.answers = ['unavailable', 'well'];
    server.next = 0;
    await inTime(client.getPost({}));
    expect(server.next).toBe(2);
  });
});

/** A server that gives these answers in turn, the last one for ever. */
function aServer(answers: readonly (string | Code)[]) {
  const server = { answers, next: 0, calls: 0, times: [] as number[], client };
  const answer = () => {
    server.calls++;
    server.times.push(Date.now());
    const given = server.answers[Math.min(server.next++, server.answers.length - 1)];
    if (given === 'well') return {};
    if (typeof given === 'number') throw new ConnectError('no', given);
    const value = create(RetryInfoSchema, { retryDelay: create(DurationSchema, { seconds: 3n }) });
    const details = given === 'unavailable' ? [] : [{ desc: RetryInfoSchema, value }];
    throw new ConnectError('no', Code.Unavailable, undefined, details);
  };
  const transport = createRouterTransport(router =>
    router.service(PostService, { getPost: answer, createPost: answer, batchCreatePosts: answer, updatePost: answer }),
  );
  function client() {
    return createClient(PostService, withRetries(transport, 4));
  }
  return server;
}

/** The result, with the time going on as fast as it can. */
async function inTime<T>(call: Promise<T>): Promise<T> {
  let isSettled = false;
  call
    .catch(() => {})
    .finally(() => {
      isSettled = true;
    });
  for (let n = 0; n < 1000 && !isSettled; n++) await vi.advanceTimersByTimeAsync(20);
  return call;
}
