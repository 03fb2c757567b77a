import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createAccessLog } from '#src/http/access-log.ts';
import { createLogger } from '#src/observability/logger.ts';
import { CallRecord } from '#src/wire/call-record.ts';
import { readHttp1Head } from '#src/wire/request-head.ts';
import { LogLines } from '#test/support/log-lines.ts';

describe('createAccessLog', () => {
  it('writes one line for a call, without unset fields', async () => {
    const log = new LogLines();
    createAccessLog(await jsonLogger(log))(callOf());
    expect(log.lines).toEqual([
      {
        level: 30,
        time: expect.any(String),
        id: 'abc',
        method: 'POST',
        path: '/blog.v1.PostService/GetPost',
        httpVersion: '1.1',
        protocol: 'connect',
        procedure: 'blog.v1.PostService/GetPost',
        code: 'ok',
        status: 200,
        durationMs: 1.235,
        bytesIn: 10,
        bytesOut: 20,
        remoteAddress: '::1',
        userAgent: 'test',
        aborted: false,
        msg: 'request',
      },
    ]);
    expect(Date.parse(log.lines[0]?.time as string)).toBeGreaterThan(Date.now() - 60_000);
  });

  it("has the logger's own fields", async () => {
    const log = new LogLines();
    createAccessLog((await jsonLogger(log)).child({ part: 'http' }))(callOf());
    expect(log.lines[0]).toMatchObject({ part: 'http', id: 'abc' });
  });

  it('cuts text from outside', async () => {
    const log = new LogLines();
    const head = readHttp1Head('M'.repeat(300), `/${'p'.repeat(300)}`, ['user-agent', 'u'.repeat(300)]);
    createAccessLog(await jsonLogger(log))(callOf({ head }));
    const { method, path, userAgent } = log.lines[0] as Record<string, string>;
    expect([method, path, userAgent].map(text => text?.length)).toEqual([256, 256, 256]);
  });

  it('writes only calls with a cause above level info', async () => {
    const log = new LogLines();
    const logAccess = createAccessLog(await createLogger({ level: 'warn', format: 'json' }, log));
    logAccess(callOf());
    logAccess(callOf({ code: 'unavailable', cause: new Error('no database') }));
    logAccess(callOf({ code: 'internal', cause: new Error('a bug') }));
    expect(log.lines.map(({ level, err }) => [level, (err as Error).message])).toEqual([
      [40, 'no database'],
      [50, 'a bug'],
    ]);
  });

  it('writes for people if the logger does', async () => {
    const destination = new PassThrough({ encoding: 'utf8' });
    createAccessLog(await createLogger({ level: 'info', format: 'pretty' }, destination))(callOf());
    const [text] = await once(destination, 'data');
    expect(text).toMatch(/INFO.*request/);
  });

  it('writes every successful call up to the rate, and beyond it a marked sample', async () => {
    const log = new LogLines();
    const logAccess = createAccessLog(await jsonLogger(log), 3);
    for (let count = 1; count <= 1100; count++) logAccess(callOf({ id: String(count), startedAt: 5_000 }));
    logAccess(callOf({ id: 'the next second', startedAt: 6_000 }));
    expect(log.lines.map(({ id, sampled }) => [id, sampled])).toEqual([
      ['1', undefined],
      ['2', undefined],
      ['3', undefined],
      ['512', 512],
      ['1024', 512],
      ['the next second', undefined],
    ]);
  });

  it('writes every call that failed', async () => {
    const log = new LogLines();
    const logAccess = createAccessLog(await jsonLogger(log), 1);
    for (let count = 0; count < 5; count++) logAccess(callOf({ code: 'not_found' }));
    expect(log.lines).toHaveLength(5);
  });
});

function jsonLogger(log: LogLines) {
  return createLogger({ level: 'info', format: 'json' }, log);
}

function callOf(differences: Partial<CallRecord> = {}): CallRecord {
  const head = readHttp1Head('POST', '/blog.v1.PostService/GetPost', ['user-agent', 'test']);
  return Object.assign(new CallRecord('abc', head, '1.1', undefined, () => {}), {
    remoteAddress: '::1',
    protocol: 'connect',
    procedure: 'blog.v1.PostService/GetPost',
    code: 'ok',
    status: 200,
    durationMs: 1.2345,
    bytesRead: 10,
    bytesWritten: 20,
    ...differences,
  });
}
