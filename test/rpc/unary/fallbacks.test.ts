import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import * as connectWeb from '@connectrpc/connect-web';
import { compressionAlgorithms } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuardedHttp2SessionManager } from '#client/http2-session-manager.ts';
import * as ourNode from '#client/node.ts';
import * as ourWeb from '#client/web.ts';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import {
  ANSWERS,
  callByBufCurl,
  callByConnect,
  callByCurl,
  callByGrpcJs,
  compileContract,
  READS,
  RPCS,
  readByCurl,
} from '#test/support/every-rpc.ts';
import { readGoClients, replayGoClient } from '#test/support/go-clients.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

const H2C = '--http2-prior-knowledge';
const gzip = { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip };
const parts = new AsyncDisposableStack();
let contract: string;

beforeAll(async () => {
  contract = join(parts.use(await makeTemporaryFolder()).path, 'contract.binpb');
  await compileContract(contract);
});
afterAll(() => parts.disposeAsync());

/** Each client as it is by default but for what its name says. */
const ON_THE_FAST_PATH: readonly ClientOfTable[] = [
  ...[true, false].flatMap(useBinaryFormat => [
    ...[false, true].flatMap(useHttpGet => {
      const options = { useBinaryFormat, useHttpGet };
      const name = `${useBinaryFormat ? 'binary' : 'JSON'}${useHttpGet ? ', GET' : ''}`;
      return [
        through(`connect-node, HTTP/1.1, ${name}`, baseUrl =>
          createConnectTransport({ baseUrl, httpVersion: '1.1', ...options }),
        ),
        through(`connect-node, HTTP/2, ${name}`, baseUrl =>
          createConnectTransport({ baseUrl, ...http2(baseUrl), ...options }),
        ),
        through(`connect-web, ${name}`, baseUrl => connectWeb.createConnectTransport({ baseUrl, ...options })),
      ];
    }),
    ...[useBinaryFormat ? 'binary' : 'JSON'].flatMap(format => [
      through(`connect-node, gRPC, ${format}`, baseUrl =>
        createGrpcTransport({ baseUrl, ...http2(baseUrl), useBinaryFormat }),
      ),
      by(`our client for Node, ${format}`, url => ourNode.createPostClient(url, { useBinaryFormat })),
      by(`our client for Node, HTTP/2, ${format}`, url =>
        ourNode.createPostClient(url, { useBinaryFormat, httpVersion: '2' }),
      ),
      by(`our client for Node, gRPC, ${format}`, url =>
        ourNode.createPostClient(url, { useBinaryFormat, protocol: 'grpc' }),
      ),
      by(`our client for browsers, ${format}`, url => ourWeb.createPostClient(url, { useBinaryFormat })),
    ]),
  ]),
  { client: 'grpc-js', call: callByGrpcJs },
  { client: 'grpc-js, gzip', call: url => callByGrpcJs(url, gzip) },
  ...readGoClients().map(go => ({
    client: `${go.name} (recorded)`,
    calls: go.requests.length,
    call: (url: string) => replayGoClient(go, url),
  })),
  { client: 'buf curl --protocol connect', call: bufCurl('--protocol', 'connect') },
  { client: 'buf curl --protocol connect, HTTP/2', call: bufCurl('--protocol', 'connect', H2C) },
  { client: 'buf curl --protocol grpc', call: bufCurl('--protocol', 'grpc', H2C) },
  { client: 'curl, JSON', program: 'curl', call: callByCurl },
  { client: 'curl --compressed, JSON', program: 'curl', call: url => callByCurl(url, '--compressed') },
  { client: 'curl, GET', program: 'curl', calls: 2 * READS.length, call: readByCurl },
];

/** What belongs to connect-node, and how many of the requests do. */
const ADAPTED: readonly (ClientOfTable & { readonly adapted: number; readonly reason: string })[] = [
  {
    client: 'buf curl, by reflection',
    reason: 'one stream for each call, to learn the schema; not the call itself',
    calls: 2 * RPCS.length,
    adapted: RPCS.length,
    call: url => callByBufCurl(url, '--protocol', 'grpc', H2C),
  },
  {
    client: 'buf curl --protocol grpcweb',
    reason: 'gRPC-Web',
    adapted: RPCS.length,
    call: bufCurl('--protocol', 'grpcweb'),
  },
  {
    ...by('our client for browsers, gRPC-Web', url => ourWeb.createGrpcWebPostClient(url)),
    reason: 'gRPC-Web',
    adapted: RPCS.length,
  },
];

describe('No call falls off the fast path', () => {
  it.for(ON_THE_FAST_PATH)('$client', async ({ calls = RPCS.length, call, program }, { skip }) => {
    if (program !== undefined && !(await isInstalled(program))) {
      console.log(`not run: ${program} is not installed`);
      skip(`${program} is not installed`);
    }
    expect(await count(call)).toEqual({ calls, ok: calls, adapted: 0 });
  });
});

describe('connect-node serves', () => {
  it.for(ADAPTED)('$client: $reason', async ({ calls = RPCS.length, call, adapted }) => {
    expect(await count(call)).toEqual({ calls, ok: calls, adapted });
  });
});

/** Counts lines of the access log: each request has one before its port is closed. */
async function count(call: ClientOfTable['call']): Promise<{ calls: number; ok: number; adapted: number }> {
  const port = await openPublicPort({ posts: ANSWERS, reflected: true });
  try {
    await call(port.url);
  } finally {
    await port[Symbol.asyncDispose]();
  }
  const lines = port.log.lines.filter(({ msg }) => msg === 'request');
  const countOf = (fields: Record<string, unknown>) =>
    lines.filter(line => Object.entries(fields).every(([name, value]) => line[name] === value)).length;
  return { calls: lines.length, ok: countOf({ code: 'ok' }), adapted: countOf({ adapted: true }) };
}

function through(client: string, transportTo: (url: string) => Transport): ClientOfTable {
  return by(client, url => createClient(PostService, transportTo(url)));
}

function by(client: string, clientOf: (url: string) => ourNode.PostClient): ClientOfTable {
  return { client, call: url => callByConnect(clientOf(url)) };
}

function bufCurl(...flags: readonly string[]): ClientOfTable['call'] {
  return url => callByBufCurl(url, '--schema', contract, ...flags);
}

function http2(baseUrl: string) {
  // connect-node's own manager may end the process when the port closes (connect-es#1768).
  return { httpVersion: '2', sessionManager: new GuardedHttp2SessionManager(baseUrl) } as const;
}

function isInstalled(program: string): Promise<boolean> {
  return promisify(execFile)(program, ['--version']).then(
    () => true,
    () => false,
  );
}

interface ClientOfTable {
  readonly client: string;
  /** Calls every RPC once, and throws where one fails. */
  readonly call: (url: string) => Promise<void>;
  /** How many requests that makes; default: one for each RPC. */
  readonly calls?: number;
  /** What has to be installed. */
  readonly program?: string;
}
