import { create, toBinary } from '@bufbuild/protobuf';
import { GetPostRequestSchema } from '#gen/blog/v1/post_service_pb.js';
import { SAMPLE_POST } from './sample-post.ts';

/** One kind of call, as a client sends it. */
export interface Workload {
  /** As `--only` names it. */
  readonly id: WorkloadId;
  readonly title: string;
  readonly http2: boolean;
  readonly method: 'GET' | 'POST';
  readonly target: string;
  /** As the clients of that protocol send them, without those that HTTP itself needs. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

export type WorkloadId = 'post-proto' | 'post-json' | 'get-json' | 'grpc' | 'post-proto-h2';

const PATH = '/blog.v1.PostService/GetPost';
const TRACE = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' };
/** What connect-node's client sends with a deadline, and a tracer beside it. */
const CONNECT = {
  'accept-encoding': 'gzip,br',
  'connect-timeout-ms': '5000',
  'user-agent': 'connect-es/2.2.0',
  ...TRACE,
};
const POST = { 'connect-protocol-version': '1', ...CONNECT };

const json = JSON.stringify({ id: SAMPLE_POST.id });
const proto = Buffer.from(
  toBinary(GetPostRequestSchema, create(GetPostRequestSchema, { key: { case: 'id', value: SAMPLE_POST.id } })),
);

/** In the order of the report. */
export const WORKLOADS: Readonly<Record<WorkloadId, Workload>> = {
  'post-proto': {
    id: 'post-proto',
    title: 'Connect POST, protobuf, HTTP/1.1',
    http2: false,
    method: 'POST',
    target: PATH,
    headers: { 'content-type': 'application/proto', ...POST },
    body: proto,
  },
  'post-json': {
    id: 'post-json',
    title: 'Connect POST, JSON, HTTP/1.1',
    http2: false,
    method: 'POST',
    target: PATH,
    headers: { 'content-type': 'application/json', ...POST },
    body: Buffer.from(json),
  },
  'get-json': {
    id: 'get-json',
    title: 'Connect GET, JSON, HTTP/1.1',
    http2: false,
    method: 'GET',
    target: `${PATH}?connect=v1&encoding=json&message=${encodeURIComponent(json)}`,
    headers: CONNECT,
    body: undefined,
  },
  grpc: {
    id: 'grpc',
    title: 'gRPC, HTTP/2',
    http2: true,
    method: 'POST',
    target: PATH,
    // As grpc-js sends them.
    headers: {
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-accept-encoding': 'identity,deflate,gzip',
      'accept-encoding': 'identity',
      'grpc-timeout': '4999m',
      'user-agent': 'grpc-node-js/1.14.7',
      ...TRACE,
    },
    body: Buffer.concat([Buffer.from([0, 0, 0, 0, proto.length]), proto]),
  },
  'post-proto-h2': {
    id: 'post-proto-h2',
    title: 'Connect POST, protobuf, HTTP/2',
    http2: true,
    method: 'POST',
    target: PATH,
    headers: { 'content-type': 'application/proto', ...POST },
    body: proto,
  },
};
