import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type AccessRecord, createAccessLog } from '#src/observability/access-log.ts';
import { createLogger } from '#src/observability/logger.ts';
import { LogLines } from '#test/support/log-lines.ts';

const RECORD: AccessRecord = {
  id: 'abc',
  method: 'POST',
  path: '/blog.v1.PostService/GetPost',
  httpVersion: '1.1',
  protocol: 'connect',
  procedure: 'blog.v1.PostService/GetPost',
  code: 'ok',
  refused: undefined,
  status: 200,
  durationMs: 1.25,
  bytesIn: 10,
  bytesOut: 20,
  remoteAddress: '::1',
  userAgent: 'test',
  aborted: false,
  adapted: false,
  sampled: 1,
  cause: undefined,
};

describe('createAccessLog', () => {
  it('writes the line that the logger would have written', async () => {
    const [byHand, byPino] = [new LogLines(), new LogLines()];
    createAccessLog(await createLogger({ level: 'info', format: 'json' }, byHand)).write(RECORD);
    const { refused: _, cause: __, adapted: ___, sampled: ____, ...fields } = RECORD;
    (await createLogger({ level: 'info', format: 'json' }, byPino)).info(fields, 'request');
    expect({ ...byHand.lines[0], time: '' }).toEqual({ ...byPino.lines[0], time: '' });
    expect(Date.parse(byHand.lines[0]?.time as string)).toBeGreaterThan(Date.now() - 60_000);
  });

  it("has the logger's own fields", async () => {
    const log = new LogLines();
    const logger = await createLogger({ level: 'info', format: 'json' }, log);
    createAccessLog(logger.child({ part: 'http' })).write(RECORD);
    expect(log.lines[0]).toMatchObject({ part: 'http', id: 'abc' });
  });

  it('is silent above the level info, but for causes', async () => {
    const log = new LogLines();
    const logAccess = createAccessLog(await createLogger({ level: 'warn', format: 'json' }, log));
    logAccess.write(RECORD);
    logAccess.write({ ...RECORD, code: 'unavailable', cause: new Error('no database') });
    logAccess.write({ ...RECORD, code: 'internal', cause: new Error('a bug') });
    expect(log.lines.map(({ level, err }) => [level, (err as Error).message])).toEqual([
      [40, 'no database'],
      [50, 'a bug'],
    ]);
  });

  it('is for a person where the logger is', async () => {
    const destination = new PassThrough({ encoding: 'utf8' });
    createAccessLog(await createLogger({ level: 'info', format: 'pretty' }, destination)).write(RECORD);
    const [text] = await once(destination, 'data');
    expect(text).toMatch(/INFO.*request/);
  });

  it('writes what went well in full up to the rate, and beyond it a sample that says so', async () => {
    const accessLog = createAccessLog(await createLogger({ level: 'info', format: 'json' }, new LogLines()), 3);
    const weights = Array.from({ length: 1100 }, () => accessLog.sampleSuccess(5_000));
    expect(weights.slice(0, 5)).toEqual([1, 1, 1, 0, 0]);
    expect(weights.flatMap((weight, index) => (weight > 1 ? [[index + 1, weight]] : []))).toEqual([
      [512, 512],
      [1024, 512],
    ]);
    expect(accessLog.sampleSuccess(6_000)).toBe(1);
  });

  it('says how many calls a line stands for', async () => {
    const log = new LogLines();
    createAccessLog(await createLogger({ level: 'info', format: 'json' }, log)).write({ ...RECORD, sampled: 512 });
    expect(log.lines[0]).toMatchObject({ sampled: 512 });
  });
});
