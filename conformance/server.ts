import { parseArgs } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { pino } from 'pino';
import { createLogger } from '#src/observability/logger.ts';
import { readRequest, writeResponse } from './compat-messages.ts';
import { openConformancePort } from './conformance-port.ts';
import { ServerCompatResponseSchema } from './gen/connectrpc/conformance/v1/server_compat_pb.js';

// One server for the runner: started with what standard input asks for, told to the runner on standard output, and ended
// by it with a signal. `--fast-path=off` turns the fast path off; `--log=FILE` keeps what the server logs.
const { values } = parseArgs({ options: { 'fast-path': { type: 'string', default: 'on' }, log: { type: 'string' } } });

const request = readRequest();
const { cert, key } = request.serverCreds ?? {};
const tls = request.useTls && cert && key ? { cert: Buffer.from(cert), key: Buffer.from(key) } : undefined;
// Standard output is the runner's.
const destination = pino.destination({ dest: values.log ?? 2, append: true, sync: true });
const listener = await openConformancePort({
  log: await createLogger({ level: values.log === undefined ? 'error' : 'info', format: 'json' }, destination),
  tls,
  requestMaxBytes: request.messageReceiveLimit === 0 ? undefined : request.messageReceiveLimit,
  fastPath: values['fast-path'] !== 'off',
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void listener[Symbol.asyncDispose]());
writeResponse(
  create(ServerCompatResponseSchema, {
    host: '127.0.0.1',
    port: listener.port,
    ...(tls === undefined ? {} : { pemCert: tls.cert }),
  }),
);
