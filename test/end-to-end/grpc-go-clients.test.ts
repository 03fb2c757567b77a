import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { goProgram } from '#test/support/go-program.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const grpcurl = await goProgram({ install: 'github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4' });
const probe = await goProgram({ install: 'github.com/grpc-ecosystem/grpc-health-probe@v0.4.63' });
const client = await goProgram({ folder: 'grpc-clients' });

/** Programs on grpc-go, whose connections end with a GOAWAY that nghttp2 takes for an error. */
describe('the service, to programs on grpc-go', () => {
  let service: TestService;
  let address: string;
  beforeAll(async () => {
    service = await startTestService();
    address = new URL(service.url).host;
  });
  afterAll(() => service?.[Symbol.asyncDispose]());

  it.skipIf(grpcurl === undefined)('answers grpcurl 30 times in a row', async () => {
    for (let time = 0; time < 30; time++) {
      const { stdout } = await run(grpcurl ?? '', ['-plaintext', address, 'grpc.health.v1.Health/Check']);
      expect(JSON.parse(stdout)).toEqual({ status: 'SERVING' });
    }
  });

  it.skipIf(probe === undefined)('is found healthy by grpc-health-probe 30 times in a row', async () => {
    for (let time = 0; time < 30; time++) {
      const { stderr } = await run(probe ?? '', ['-addr', address]);
      expect(stderr).toContain('status: SERVING');
    }
  });

  it.skipIf(client === undefined)('answers a client that dials, calls and closes, 200 times', async () => {
    expect(await run(client ?? '', ['cycles', address, '200'])).toEqual({ stdout: '0 failed\n', stderr: '' });
  });

  it.skipIf(client === undefined)('counts the watches of clients that close their connection as canceled', async () => {
    expect(await run(client ?? '', ['watches', address, '20'])).toEqual({ stdout: '0 failed\n', stderr: '' });
    const watches = () => service.log.lines.filter(({ procedure }) => procedure === 'grpc.health.v1.Health/Watch');
    await expect.poll(() => watches().length).toBe(20);
    expect(new Set(watches().map(({ code }) => code))).toEqual(new Set(['canceled']));
  });

  it.skipIf(client === undefined)('answers other calls of a client that cancels 500 a second', async () => {
    const { stdout, stderr } = await run(client ?? '', ['cancels', address, '500', '6', '50']);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^3000 cancelled, \d+ checks, 0 failed\n$/);
  });
});

const run = promisify(execFile);
