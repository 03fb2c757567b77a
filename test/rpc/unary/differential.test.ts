import { Code, ConnectError } from '@connectrpc/connect';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostNotFoundError } from '#src/posts/post-store.ts';
import { connectRequest, GET_POST, grpcRequest } from '#test/support/odd-requests.ts';
import { type Answer, type Fields, PlainHttpClient, type RawRequest } from '#test/support/plain-http-client.ts';
import { openPublicPort, type PublicPort, type PublicPortOptions } from '#test/support/public-port.ts';

/**
 * How the fast path is meant to differ from connect-node, with the reason. These are all, so each is taken out of both answers
 * before they are compared, and nothing else is.
 */
const WANTED_DIFFERENCES: readonly {
  readonly reason: string;
  readonly takeOut: (answer: Answer, request: RawRequest) => void;
}[] = [
  {
    reason: 'an encoding is named only where something is in it; connect-node names one in any answer of gRPC',
    takeOut: ({ headers }) => remove(headers, 'grpc-encoding'),
  },
  {
    reason: 'what is compressed is so at another level: its encoding and its inflated content are compared',
    takeOut: ({ encoding, headers }) => {
      if (encoding !== undefined) remove(headers, 'content-length');
    },
  },
  {
    reason: 'a request that is cut short, or too large, is refused in words of our own',
    takeOut: answer => {
      if (!/incomplete|promised|larger than|readMaxBytes/.test(JSON.stringify(answer))) return;
      answer.body = (answer.body as { code?: string } | undefined)?.code;
      remove(answer.headers, 'content-length');
      remove(answer.trailers, 'grpc-message', 'grpc-status-details-bin');
    },
  },
  {
    reason: 'a message of which only the prefix came was cut short; connect-node says UNIMPLEMENTED, as of none at all',
    takeOut: ({ headers, trailers }, { path, body }) => {
      if (path !== GET_POST || body.length !== 5 || body.readUInt32BE(1) === 0) return;
      remove(trailers, ...Object.keys(trailers));
      remove(headers, 'grpc-accept-encoding');
    },
  },
  {
    reason: 'a connection is HTTP’s own business',
    takeOut: ({ headers }) => remove(headers, 'date', 'connection', 'keep-alive', 'transfer-encoding', 'trailer'),
  },
];

const posts: PublicPortOptions['posts'] = {
  getPost: async ({ key }, context) => {
    if (key.value === 'absent') throw new PostNotFoundError(['absent']);
    if (key.value === 'fault') throw new Error('a fault of ours');
    if (key.value === 'connect error') throw new ConnectError('said no', Code.PermissionDenied);
    if (key.value === 'metadata') {
      context.responseHeader.set('x-lead-bin', 'AAEC');
      context.responseTrailer.append('x-trail', 'one');
      context.responseTrailer.append('x-trail', 'two');
      for (const name of ['x-ask', 'x-ask-bin', 'cookie', 'authorization', 'user-agent']) {
        context.responseHeader.set(`x-echo-${name}`, context.requestHeader.get(name) ?? 'none');
      }
    }
    return { post: { slug: key.value ?? '', content: key.value === 'large' ? 'long '.repeat(5_000) : '' } };
  },
};

let ports: PublicPort[];
let fast: PlainHttpClient;
let slow: PlainHttpClient;

beforeAll(async () => {
  const options = { posts, requestMaxBytes: 16_384, corsOrigins: ['https://blog.example'] };
  ports = await Promise.all([true, false].map(fastPath => openPublicPort({ ...options, fastPath })));
  [fast, slow] = ports.map(({ url }) => new PlainHttpClient(url)) as [PlainHttpClient, PlainHttpClient];
});
afterAll(async () => {
  for (const client of [fast, slow]) client[Symbol.dispose]();
  await Promise.all(ports.map(port => port[Symbol.asyncDispose]()));
});

describe('The fast path and connect-node', () => {
  it('answer Connect calls alike', async () => {
    await fc.assert(
      fc.asyncProperty(connectRequest(), async request => {
        const [ours, theirs] = await Promise.all([ask(fast, request), ask(slow, request)]);
        expect(ours).toEqual(theirs);
      }),
      { numRuns: RUNS },
    );
  });

  it('answer gRPC calls alike', async () => {
    await fc.assert(
      fc.asyncProperty(grpcRequest(), async request => {
        const [ours, theirs] = await Promise.all([ask(fast, request), ask(slow, request)]);
        expect(ours).toEqual(theirs);
      }),
      { numRuns: RUNS },
    );
  });
});

// biome-ignore lint/style/noProcessEnv: how long to look is said by who looks.
const RUNS = Number(process.env.DIFFERENTIAL_RUNS ?? 250);

async function ask(client: PlainHttpClient, request: RawRequest): Promise<Answer> {
  const answer = await client.ask({ ...request, headers: { 'x-request-id': 'same', ...request.headers } });
  for (const { takeOut } of WANTED_DIFFERENCES) takeOut(answer, request);
  return answer;
}

function remove(fields: Fields, ...names: string[]): void {
  for (const name of names) Reflect.deleteProperty(fields, name);
}
