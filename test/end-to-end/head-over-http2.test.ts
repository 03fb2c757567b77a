import { once } from 'node:events';
import { connect } from 'node:http2';
import { describe, expect, it } from 'vitest';
import { startTestService } from '#test/support/test-service.ts';

describe('HEAD over HTTP/2', () => {
  it.each(['true', 'false'])('is answered, closed, and has its line in the log, with FAST_PATH=%s', async fastPath => {
    await using service = await startTestService({ FAST_PATH: fastPath });
    const session = connect(service.url);
    const path = `/blog.v1.PostService/ListPosts?connect=v1&encoding=json&message=%7B%7D`;
    const stream = session.request({ ':method': 'HEAD', ':path': path, 'x-request-id': 'head-over-http2' });
    const [headers] = await once(stream, 'response');
    expect(headers['x-request-id']).toBe('head-over-http2');
    stream.resume();
    await once(stream, 'close');
    expect(await service.log.line({ id: 'head-over-http2' })).toMatchObject({
      level: 30,
      method: 'HEAD',
      status: 200,
      bytesOut: 0,
    });
    session.close();
  });
});
