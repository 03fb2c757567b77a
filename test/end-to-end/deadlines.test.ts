import { once } from 'node:events';
import http2 from 'node:http2';
import { create, toBinary } from '@bufbuild/protobuf';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import { describe, expect, it } from 'vitest';
import { GetPostRequestSchema } from '#gen/blog/v1/post_service_pb.js';
import { openPublicPort, type PublicPortOptions } from '#test/support/public-port.ts';

/** A service that answers with the time that the call has left, in milliseconds, as the slug. */
const leftMs: PublicPortOptions['posts'] = {
  getPost: (_request, { timeoutMs }) => ({ post: { slug: String(timeoutMs()) } }),
};
const deadline = { defaultMs: 20_000, maxMs: 40_000 };

describe('a Connect call', () => {
  it.each([undefined, '1', '25000', '40001', '2147483647', '2147483648', '9999999999'])(
    'with the deadline %s has one within bounds',
    async timeout => {
      await using port = await openPublicPort({ posts: leftMs, deadline });
      const { status, body } = await callConnect(port.url, timeout);
      if (timeout === '1') return expect([200, 504]).toContain(status);
      expect(status).toBe(200);
      const most = timeout === undefined ? 20_000 : Math.min(Number(timeout), 40_000);
      expect(Number(body.post.slug)).toSatisfy(left => left > 0 && left <= most);
    },
  );

  it.each(['abc', '-1', '0', '1.5', '99999999999'])('with the deadline %s is INVALID_ARGUMENT', async timeout => {
    await using port = await openPublicPort({ posts: leftMs, deadline });
    const { status, body } = await callConnect(port.url, timeout);
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 'invalid_argument', details: [{ type: 'google.rpc.ErrorInfo' }] });
  });

  it('without a deadline is ended by the default one', async () => {
    const posts = { getPost: () => new Promise<never>(() => {}) };
    await using port = await openPublicPort({ posts, deadline: { defaultMs: 30, maxMs: 40_000 } });
    expect(await callConnect(port.url, undefined)).toMatchObject({ status: 504, body: { code: 'deadline_exceeded' } });
  });
});

describe('a gRPC call', () => {
  it.each([undefined, '25S', '99999999H', '99999999S', '40001m'])('with the deadline %s is served', async timeout => {
    await using port = await openPublicPort({ posts: leftMs, deadline });
    expect(await callGrpc(port.url, timeout)).toBe('0');
  });

  it.each(['abc', '-1S', '0S', '0n', '10', '123456789S'])('with the deadline %s is INVALID_ARGUMENT', async timeout => {
    await using port = await openPublicPort({ posts: leftMs, deadline });
    expect(await callGrpc(port.url, timeout)).toBe('3');
  });
});

async function callConnect(url: string, timeout: string | undefined) {
  const response = await fetch(`${url}/blog.v1.PostService/GetPost`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(timeout === undefined ? {} : { 'connect-timeout-ms': timeout }),
    },
    body: '{"slug":"x"}',
  });
  return { status: response.status, body: (await response.json()) as { post: { slug: string } } };
}

/** The status of a GetPost over gRPC, as the trailer has it. */
async function callGrpc(url: string, timeout: string | undefined): Promise<unknown> {
  const session = http2.connect(url);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/blog.v1.PostService/GetPost',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...(timeout === undefined ? {} : { 'grpc-timeout': timeout }),
  });
  const request = create(GetPostRequestSchema, { key: { case: 'slug', value: 'x' } });
  stream.end(encodeEnvelope(0, toBinary(GetPostRequestSchema, request)));
  stream.resume();
  let status: unknown;
  // An error alone is one block of fields, which are the trailers too.
  for (const event of ['response', 'trailers']) stream.on(event, fields => (status ??= fields['grpc-status']));
  await once(stream, 'close');
  session.destroy();
  return status;
}
