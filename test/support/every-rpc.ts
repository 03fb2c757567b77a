import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  create,
  type DescMethodUnary,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import type { Client, ServiceImpl } from '@connectrpc/connect';
import * as grpc from '@grpc/grpc-js';
import { PostService } from '#gen/blog/v1/post_service_pb.js';

/** All unary RPCs, and those without side effects, which can be called by GET. */
export const RPCS = PostService.methods.filter(
  ({ methodKind }) => methodKind === 'unary',
) as readonly DescMethodUnary[];
export const READS = RPCS.filter(({ idempotency }) => idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS);

const ID = '0198a6f0-0000-7000-8000-000000000001';
const POST = { title: 'Ünï ☃', slug: 'hello-world', content: 'Some *content*.\n' };

/** Answers every RPC that is called here, and none by the stream. */
export const ANSWERS = {
  getPost: () => ({ post: POST }),
  batchGetPosts: () => ({ posts: [POST] }),
  listPosts: () => ({ posts: [POST] }),
  createPost: () => ({ post: POST }),
  batchCreatePosts: () => ({ posts: [POST] }),
  updatePost: () => ({ post: POST }),
  deletePost: () => ({ post: POST }),
  undeletePost: () => ({ post: POST }),
  watchPosts: async function* () {},
} satisfies ServiceImpl<typeof PostService>;

/** Calls every unary RPC once by a client of Connect. Throws, as all of these do, where a call fails. */
export async function callByConnect(client: Client<typeof PostService>): Promise<void> {
  const posts = client as unknown as Record<string, (request: object) => Promise<Message>>;
  for (const [name, request] of Object.entries(REQUESTS)) await posts[name]?.(request);
}

/** The same by grpc-js. */
export async function callByGrpcJs(url: string, options: grpc.ClientOptions = {}): Promise<void> {
  const client = new grpc.Client(new URL(url).host, grpc.credentials.createInsecure(), options);
  try {
    for (const method of RPCS) {
      await new Promise<void>((resolve, reject) => {
        client.makeUnaryRequest(
          pathOf(method),
          (message: Message) => Buffer.from(toBinary(method.input, message)),
          bytes => fromBinary(method.output, bytes),
          requestOf(method),
          error => (error === null ? resolve() : reject(error)),
        );
      });
    }
  } finally {
    client.close();
  }
}

/** The same by as many runs of `buf curl`. */
export async function callByBufCurl(url: string, ...flags: readonly string[]): Promise<void> {
  await Promise.all(RPCS.map(method => run(BUF, 'curl', ...flags, '-d', jsonOf(method), url + pathOf(method))));
}

/** Compiles the contract for `buf curl --schema`, which would compile it for each call otherwise. */
export async function compileContract(file: string): Promise<void> {
  await promisify(execFile)(BUF, ['build', '-o', file], { cwd: ROOT });
}

/** The same by curl: JSON by POST. */
export async function callByCurl(url: string, ...flags: readonly string[]): Promise<void> {
  const json = ['-H', 'Content-Type: application/json'];
  for (const method of RPCS) await run('curl', '-sSf', ...flags, ...json, '-d', jsonOf(method), url + pathOf(method));
}

/** Calls the RPCs without side effects by curl and GET, twice: in JSON, which curl escapes, and in binary. */
export async function readByCurl(url: string): Promise<void> {
  for (const method of READS) {
    const parameters = ['connect=v1', 'encoding=json', `message=${jsonOf(method)}`];
    const flags = parameters.flatMap(parameter => ['--data-urlencode', parameter]);
    await run('curl', '-sSf', '-G', ...flags, url + pathOf(method));
    const message = Buffer.from(toBinary(method.input, requestOf(method))).toString('base64url');
    const query = `connect=v1&encoding=proto&base64=1&message=${message}`;
    await run('curl', '-sSf', '--output', '-', `${url}${pathOf(method)}?${query}`);
  }
}

async function run(program: string, ...args: readonly string[]): Promise<void> {
  await promisify(execFile)(program, args);
}

function pathOf(method: DescMethodUnary): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function requestOf(method: DescMethodUnary): Message {
  return create(method.input, REQUESTS[method.localName as keyof typeof REQUESTS]);
}

function jsonOf(method: DescMethodUnary): string {
  return toJsonString(method.input, requestOf(method));
}

/** What is asked of each RPC. */
const REQUESTS = {
  getPost: { key: { case: 'slug', value: 'hello-world' } },
  batchGetPosts: { ids: [ID] },
  listPosts: { pageSize: 5, author: 'Ada' },
  createPost: { post: POST },
  batchCreatePosts: { requests: [{ post: POST }] },
  updatePost: { post: { id: ID, title: 'Updated' }, updateMask: { paths: ['title'] } },
  deletePost: { id: ID },
  undeletePost: { id: ID },
} satisfies {
  [Name in Exclude<keyof typeof PostService.method, 'watchPosts'>]: MessageInitShape<
    (typeof PostService.method)[Name]['input']
  >;
};

const ROOT = join(import.meta.dirname, '..', '..');
const BUF = join(ROOT, 'node_modules', '.bin', 'buf');
