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
  cause: undefined,
};

describe('createAccessLog', () => {
  it('writes the line that the logger would have written', async () => {
    const [byHand, byPino] = [new LogLines(), new LogLines()];
    createAccessLog(await createLogger({ level: 'info', format: 'json' }, byHand)).write(RECORD);
    const { refused: _, cause: __, adapted: ___, ...fields } = RECORD;
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
});
