import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { Code, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import {
  ServerCompatRequestSchema,
  ServerCompatResponseSchema,
} from '#conformance/gen/connectrpc/conformance/v1/server_compat_pb.js';
import {
  ConformancePayload_RequestInfoSchema,
  ConformanceService,
  UnaryRequestSchema,
} from '#conformance/gen/connectrpc/conformance/v1/service_pb.js';
import { selfSigned } from '#test/support/self-signed.ts';

describe('The conformance server', () => {
  it('is told on standard input what to be, tells on standard output where it is, and ends at a signal', async () => {
    await using server = await startConformanceServer({ messageReceiveLimit: 1024 });
    const client = createClient(ConformanceService, createGrpcTransport({ baseUrl: server.url }));
    const tooLarge = client.unary({ requestData: new Uint8Array(1025) });
    await expect(tooLarge).rejects.toMatchObject({ code: Code.ResourceExhausted, details: [] });
    expect(await server.stop()).toBe(0);
  });

  it('speaks TLS with the certificate that it is given', async () => {
    const { cert, key } = selfSigned();
    await using server = await startConformanceServer({
      useTls: true,
      serverCreds: { cert: Buffer.from(cert), key: Buffer.from(key) },
    });
    expect(Buffer.from(server.pemCert).toString()).toBe(cert);
    const transport = createGrpcTransport({ baseUrl: server.url, nodeOptions: { ca: cert } });
    const response = await createClient(ConformanceService, transport).unary({
      responseDefinition: { response: { case: 'responseData', value: Buffer.from('data') } },
    });
    expect(Buffer.from(response.payload?.data ?? []).toString()).toBe('data');
  });

  it('answers with the error that a call asks for, what it saw of the call, and no detail of its own', async () => {
    await using server = await startConformanceServer({});
    const client = createClient(ConformanceService, createGrpcTransport({ baseUrl: server.url }));
    const request = create(UnaryRequestSchema, {
      responseDefinition: { response: { case: 'error', value: { code: Code.DataLoss, message: 'lost' } } },
    });
    const error = await client.unary(request).catch(thrown => thrown);
    expect(error).toMatchObject({ code: Code.DataLoss, rawMessage: 'lost' });
    expect(error.details).toHaveLength(1);
    const [info] = error.findDetails(ConformancePayload_RequestInfoSchema);
    expect(info.requests.map((any: never) => anyUnpack(any, UnaryRequestSchema))).toEqual([request]);
    expect(info.timeoutMs).toBeUndefined();
  });
});

/** Starts the server as the runner does. Disposing of it ends it with a signal. */
async function startConformanceServer(request: MessageInitShape<typeof ServerCompatRequestSchema>) {
  const child = spawn(process.execPath, [SERVER], { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  let wrote = '';
  child.stderr.setEncoding('utf8').on('data', text => {
    wrote += text;
  });
  const wanted = create(ServerCompatRequestSchema, request);
  const bytes = toBinary(ServerCompatRequestSchema, wanted);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  child.stdin.end(Buffer.concat([length, bytes]));

  let received = Buffer.alloc(0);
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    received = Buffer.concat([received, chunk]);
    if (received.length >= 4 && received.length >= 4 + received.readUInt32BE()) break;
  }
  if (received.length === 0) throw new Error(`the server ended before it was ready: ${wrote}`);
  const { host, port, pemCert } = fromBinary(ServerCompatResponseSchema, received.subarray(4));
  const stop = async () => {
    child.kill('SIGINT');
    return (await closed)[0] as number | null;
  };
  return {
    url: `${wanted.useTls ? 'https' : 'http'}://${host}:${port}`,
    pemCert,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}

const SERVER = fileURLToPath(new URL('../../conformance/server.ts', import.meta.url));
