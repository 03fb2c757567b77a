import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { goProgram } from '#test/support/go-program.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { selfSigned } from '#test/support/self-signed.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

const h2spec = await goProgram({ install: 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible' });
const CERTIFICATE = selfSigned();

describe.skipIf(h2spec === undefined)('h2spec', () => {
  it.each([
    ['in clear text', undefined],
    ['over TLS', CERTIFICATE],
  ])('fails in nothing that plain node:http2 passes, %s', async (_, tls) => {
    const answer = (_request: unknown, response: http2.Http2ServerResponse) => response.end('hello');
    const plain = tls === undefined ? http2.createServer(answer) : http2.createSecureServer(tls, answer);
    plain.on('sessionError', () => {}).listen(0, '127.0.0.1');
    await once(plain, 'listening');
    await using port = await openPublicPort({ tls });
    // Most of the time it waits.
    const [failsThere, failsHere] = await Promise.all(
      [(plain.address() as AddressInfo).port, port.port].map(each => failuresOf(each, tls !== undefined)),
    );
    plain.close();
    console.log(`plain node:http2 fails ${failsThere?.size} of h2spec's tests, the service ${failsHere?.size}`);
    console.log(`the service passes and plain node:http2 does not: ${without(failsThere, failsHere).join('; ')}`);
    expect(without(failsHere, failsThere)).toEqual([]);
  });
});

function without(names: ReadonlySet<string> = new Set(), others: ReadonlySet<string> = new Set()): string[] {
  return [...names].filter(name => !others.has(name));
}

/** The tests that a server fails. */
async function failuresOf(port: number, tls: boolean): Promise<Set<string>> {
  await using folder = await makeTemporaryFolder();
  const report = join(folder.path, 'report.xml');
  const args = ['-h', '127.0.0.1', '-p', String(port), '-o', '2', '-j', report, ...(tls ? ['-t', '-k'] : [])];
  // It ends with 1 where a test fails.
  await promisify(execFile)(h2spec ?? '', args).catch(() => {});
  const failures = new Set<string>();
  const cases = [
    ...(await readFile(report, 'utf8')).matchAll(/<testcase package="(.*?)" classname="(.*?)".*?>(.*?)<\/testcase>/gs),
  ];
  for (const [, section = '', name = '', outcome = ''] of cases) {
    if (outcome.includes('<failure') || outcome.includes('<error')) failures.add(`${section}: ${name}`);
  }
  if (cases.length < TESTS_MIN) throw new Error(`h2spec has run ${cases.length} tests only`);
  return failures;
}

/** Version 2.2.1 has 145. */
const TESTS_MIN = 140;
