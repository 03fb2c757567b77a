import type { WorkloadId } from './workloads.ts';

/** A server that takes part, as data: a command line is all that it needs, in whatever language. */
export interface Contestant {
  /** As `--only` and the targets name it. */
  readonly id: string;
  readonly name: string;
  /**
   * The command and its arguments, run from the project's root: `node` is this process's own, `{answers}` a file of
   * RecordedAnswer. It listens on a free port of 127.0.0.1, writes the line `{"port":1234}`, and ends by SIGTERM.
   */
  readonly command: readonly string[];
  /** What it serves. */
  readonly workloads: readonly WorkloadId[];
  /** Request targets of its own, where it has another kind of route. */
  readonly targets?: Partial<Readonly<Record<WorkloadId, string>>>;
  /** Headers of the request that are not the workload's; undefined: left out. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** The id of the one whose process it shares: not started, but measured once more. */
  readonly processOf?: string;
}

const SERVERS = 'bench/transport/servers';
const OURS = ['node', `${SERVERS}/our-server.ts`];
const HTTP1 = ['post-proto', 'post-json', 'get-json'] as const;
const HTTP2 = ['grpc', 'post-proto-h2'] as const;
const STAGE_WORKLOADS = ['post-proto', 'grpc'] as const;

export const CONTESTANTS: readonly Contestant[] = [
  { id: 'ours', name: 'ours', command: OURS, workloads: [...HTTP1, ...HTTP2] },
  { id: 'ours-again', name: 'ours, measured again', command: OURS, workloads: [...HTTP1, 'grpc'], processOf: 'ours' },
  { id: 'ours-second', name: 'ours, second process', command: OURS, workloads: [...HTTP1, 'grpc'] },
  {
    id: 'ours-lean',
    name: 'ours, without access log, metrics, validation',
    command: [...OURS, '--without', 'access-log', '--without', 'metrics', '--without', 'validation'],
    workloads: [...HTTP1, 'grpc'],
  },
  {
    id: 'ours-slow',
    name: 'ours, fast path off',
    command: [...OURS, '--without', 'fast-path'],
    workloads: [...HTTP1, ...HTTP2],
  },
  { id: 'ours-miss', name: 'ours on a miss', command: [...OURS, '--unfrozen'], workloads: [...HTTP1, 'grpc'] },
  {
    id: 'raw',
    name: 'raw node:http',
    command: ['node', `${SERVERS}/raw-http-server.ts`, '--answers', '{answers}'],
    workloads: HTTP1,
  },
  {
    id: 'raw-one-write',
    name: 'raw node:http, body as a string',
    command: ['node', `${SERVERS}/raw-http-server.ts`, '--answers', '{answers}', '--one-write'],
    workloads: HTTP1,
  },
  {
    id: 'raw-h2',
    name: 'raw node:http2',
    command: ['node', `${SERVERS}/raw-http2-server.ts`, '--answers', '{answers}'],
    workloads: HTTP2,
  },
  {
    id: 'fastify',
    name: 'Fastify',
    command: ['node', `${SERVERS}/fastify-server.ts`],
    workloads: HTTP1,
    targets: { 'get-json': '/v1/posts/019a8f3c-5b7e-7c1a-9d2e-0f4b6a8c1d3e' },
  },
  { id: 'grpc-js', name: 'grpc-js', command: ['node', `${SERVERS}/grpc-js-server.ts`], workloads: ['grpc'] },
  {
    id: 'connect-node',
    name: 'connect-node',
    command: ['node', `${SERVERS}/connect-node-server.ts`],
    workloads: HTTP1,
  },
  {
    id: 'connect-node-h2',
    name: 'connect-node',
    command: ['node', `${SERVERS}/connect-node-server.ts`, '--http2'],
    workloads: HTTP2,
  },
];

/** Ours with one thing another than by default, which tells what that costs. */
export const STAGES: readonly (Contestant & { readonly stage: string })[] = [
  {
    id: 'same',
    name: 'ours, in another process',
    stage: 'nothing: the same code in another process',
    command: OURS,
    workloads: STAGE_WORKLOADS,
  },
  ...(['access-log', 'metrics', 'admission', 'validation'] as const).map(stage => ({
    id: `without-${stage}`,
    name: `ours without ${stage}`,
    stage: { 'access-log': 'access log', metrics: 'metrics', admission: 'admission', validation: 'validation' }[stage],
    command: [...OURS, '--without', stage],
    workloads: STAGE_WORKLOADS,
  })),
  {
    id: 'without-deadline',
    name: 'ours without a deadline, neither its own nor the client’s',
    stage: 'deadline',
    command: [...OURS, '--without', 'deadline'],
    workloads: STAGE_WORKLOADS,
    headers: { 'connect-timeout-ms': undefined, 'grpc-timeout': undefined },
  },
  {
    id: 'with-request-id',
    name: 'ours, with an id that the client has given',
    stage: 'making a request id rather than taking the client’s',
    command: OURS,
    workloads: STAGE_WORKLOADS,
    headers: { 'x-request-id': '5f0c7a34-1b0e-4f6f-9a57-3c3f4f0f9d11' },
    processOf: 'ours',
  },
  {
    id: 'with-cors',
    name: 'ours, open to pages of another origin',
    stage: 'CORS (a negative cost here is what turning it on costs)',
    command: [...OURS, '--cors'],
    workloads: STAGE_WORKLOADS,
  },
];
