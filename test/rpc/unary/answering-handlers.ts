import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import { GetPostResponseSchema, type PostService } from '#gen/blog/v1/post_service_pb.js';
import { PostNotFoundError } from '#src/posts/post-store.ts';

/** What a handler can do with a call, by the slug that it is asked for. */
export const ANSWERS: Readonly<Record<string, (context: HandlerContext) => unknown>> = {
  sync: () => ({ post: { title: 'Ünï ☃', tags: ['a'] } }),
  async: async () => ({ post: { title: 'later' } }),
  empty: () => ({}),
  frozen: () => FROZEN,
  large: async () => ({ post: { content: 'large '.repeat(1000) } }),
  'large-frozen': () => LARGE_FROZEN,
  'not-compressible': () => ({ post: { content: NOISE } }),
  'plain-error': () => {
    throw new Error('secret');
  },
  'async-plain-error': async () => {
    throw new Error('secret');
  },
  'thrown-text': () => {
    throw 'secret';
  },
  'connect-error': () => {
    const metadata = { 'x-error': 'e', 'e-bin': 'AAEC', 'Content-Type': 'text/evil' };
    throw new ConnectError('100 % "ünï"\r\n☃ \ud800', Code.FailedPrecondition, metadata, [
      { desc: GetPostResponseSchema, value: { post: { title: 'detail' } } },
    ]);
  },
  'not-found': async () => {
    throw new PostNotFoundError(['ä', 'b']);
  },
  'large-error': () => {
    throw new ConnectError('x'.repeat(3000), Code.Aborted);
  },
  headers: context => {
    context.responseHeader.set('X-One', '1');
    context.responseHeader.append('x-two', 'a');
    context.responseHeader.append('x-two', 'b');
    context.responseTrailer.set('X-Three', '3');
    context.responseTrailer.append('x-four', 'c');
    context.responseTrailer.append('x-four', 'd');
    context.responseHeader.set('some-bin', 'AAEC/w');
    context.responseTrailer.set('other-bin', '//8');
    return { post: { title: 'with metadata' } };
  },
  'protocol-headers': context => {
    for (const name of ['content-type', 'content-length', 'content-encoding', 'grpc-status', 'grpc-message', 'date']) {
      context.responseHeader.set(name, '7');
      context.responseTrailer.set(name, '8');
    }
    return { post: { title: 'with names of the protocol' } };
  },
  'headers-then-error': context => {
    context.responseHeader.set('x-before', '1');
    context.responseTrailer.set('x-after', '2');
    throw new ConnectError('after metadata', Code.NotFound, { 'x-error': 'e' });
  },
  echo: context => ({
    post: {
      title: `${context.protocolName} ${context.requestMethod} ${new URL(context.url).pathname}`,
      content: ECHOED.map(name => `${name}=${context.requestHeader.get(name)}`).join('\n'),
      author: context.timeoutMs() === undefined ? 'no deadline' : 'a deadline',
      slug: `${context.service.typeName}/${context.method.name}`,
    },
  }),
  /** Never answers: only its deadline ends it. */
  never: () => new Promise(() => {}),
};

/** PostService with these answers. An RPC that reads, and one that writes. */
export const ANSWERING: Partial<ServiceImpl<typeof PostService>> = {
  getPost: (request, context) => answer(String(request.key.value ?? 'sync'), context),
  createPost: (request, context) => answer(request.post?.slug ?? 'sync', context),
};

function answer(name: string, context: HandlerContext) {
  return (ANSWERS[name] ?? ANSWERS.sync)?.(context) as { post: object };
}

const ECHOED = ['x-custom', 'custom-bin', 'authorization', 'user-agent', 'x-request-id', 'traceparent'];
const FROZEN = Object.freeze(create(GetPostResponseSchema, { post: { title: 'frozen' } }));
const LARGE_FROZEN = Object.freeze(create(GetPostResponseSchema, { post: { content: 'frozen '.repeat(1000) } }));
/** Compressing it makes it longer. */
const NOISE = Array.from({ length: 1100 }, (_, i) =>
  String.fromCharCode(33 + ((i * i * 7919 + i * 104_729) % 90)),
).join('');
