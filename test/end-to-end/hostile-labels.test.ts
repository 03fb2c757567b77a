import { expect, it } from 'vitest';
import { sendRaw } from '#test/support/raw-http.ts';
import { startTestService } from '#test/support/test-service.ts';

/** What could become a label, a line of the log, or the end of one. */
const HOSTILE = [
  (n: number) => `GET /path-${n} HTTP/1.1\r\nHost: a\r\n\r\n`,
  (n: number) => `POST /blog.v1.PostService/Nonsense${n} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`,
  (n: number) =>
    `POST /blog.v1.PostService/GetPost HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-${n}\r\nContent-Length: 0\r\n\r\n`,
  (n: number) => `M${n} / HTTP/1.1\r\nHost: a\r\n\r\n`,
  (n: number) =>
    `GET /${'x'.repeat(n % 9000)} HTTP/1.1\r\nHost: a-${n}\r\nUser-Agent: "}\\n{"level":60,"n":${n}\r\n\r\n`,
  (n: number) =>
    `GET /%0d%0a{"n":${n}} HTTP/1.1\r\nHost: a\r\nX-Request-Id: ${n}"\\\r\nTraceparent: 00-${n}-x-01\r\n\r\n`,
  (n: number) =>
    `POST /blog.v1.PostService/GetPost HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Criticality: c${n}\r\nContent-Length: 2\r\n\r\n{}`,
];

it('hostile requests add no series, and break no line of the log (H9)', async () => {
  await using service = await startTestService();
  const series = async () => {
    const text = await (await fetch(`${service.adminUrl}/metrics`)).text();
    return text
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))
      .map(line => line.replace(/ [^ ]*$/, ''));
  };
  const attack = async (from: number) => {
    for (const [kind, request] of HOSTILE.entries()) {
      for (let n = from; n < from + 20; n++) {
        const text = request(n * HOSTILE.length + kind).replace('Host:', 'Connection: close\r\nHost:');
        await sendRaw(Number(new URL(service.url).port), text);
      }
    }
  };
  await attack(1);
  const before = await series();
  const lines = service.log.lines.length;
  await attack(100_000);
  // What Node itself has open is no label of a client's.
  const own = (names: string[]) => names.filter(name => !name.startsWith('nodejs_'));
  expect(own(await series())).toEqual(own(before));
  // Each of them was parsed as one JSON object when it was written.
  expect(service.log.lines.length).toBeGreaterThan(lines + 100);
  expect(service.log.lines.every(({ level }) => typeof level === 'number' && level < 60)).toBe(true);
});
