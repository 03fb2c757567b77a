import { once } from 'node:events';
import http2 from 'node:http2';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Code } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';
import { envelope, sendRawRpc } from '#test/support/raw-rpc.ts';

const GET_POST = '/blog.v1.PostService/GetPost';
const WATCH = '/blog.v1.PostService/WatchPosts';
const JSON_BODY = Buffer.from('{"slug":"x"}');
const PROTO_BODY = Buffer.from([0x12, 1, 0x78]);

let ports: PublicPort[];
beforeAll(async () => {
  const posts = {
    getPost: ({ key }: { key: { value?: string | undefined } }) => ({ post: { slug: key.value ?? '' } }),
    async *watchPosts() {
      yield {};
    },
  };
  ports = await Promise.all([true, false].map(fastPath => openPublicPort({ posts, fastPath })));
});
afterAll(() => Promise.all(ports.map(port => port[Symbol.asyncDispose]())));

/** Whether a call succeeds, on both paths. */
async function outcomes(type: string, body: Buffer, headers = {}, path = GET_POST): Promise<unknown[]> {
  return Promise.all(
    ports.map(async port => (await sendRawRpc(port.url + path, type, body, headers)).error?.code ?? 'ok'),
  );
}

describe('A content type', () => {
  it.each([
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'application/json; charset="utf-8"',
    'application/json ; charset=utf-8',
    'application/json;\tcharset=utf-8',
    'Application/JSON',
    'APPLICATION/JSON; Charset=utf8',
    'application/json;',
    'application/json; ;',
    'application/json; odata=verbose; a="b;c"',
    'application/json; charset=iso-8859-1',
  ])('%j is JSON', async type => expect(await outcomes(type, JSON_BODY)).toEqual(['ok', 'ok']));

  it.each(['application/proto; messageType="blog.v1.GetPostRequest"', 'Application/Proto', 'application/proto;'])(
    '%j is protobuf',
    async type => expect(await outcomes(type, PROTO_BODY)).toEqual(['ok', 'ok']),
  );

  it.each([
    'application/grpc; a=b',
    'application/grpc+proto;',
    'application/grpc-web+proto; a="b"',
    'application/grpc-web;',
  ])('%j is that without its parameters', async type =>
    expect(await outcomes(type, envelope(PROTO_BODY))).toEqual(['ok', 'ok']),
  );

  it.each(['application/connect+json; charset="utf-8"', 'Application/Connect+JSON;'])(
    '%j is a stream of JSON',
    async type => expect(await outcomes(type, envelope(Buffer.from('{}')), {}, WATCH)).toEqual(['ok', 'ok']),
  );

  it.each([
    'application/jsonp',
    'application/json/x',
    'application/ json',
    'text/json',
    'application/x-www-form-urlencoded; application/json',
    'application/json, application/json',
    '; application/json',
  ])('%j is refused', async type => {
    for (const { url } of ports) expect((await sendRawRpc(url + GET_POST, type, JSON_BODY)).status).toBe(415);
  });
});

describe('A content coding', () => {
  it.each(['gzip', 'GZIP', 'x-gzip', 'X-GZip', ' gzip', 'identity, gzip', 'gzip, identity'])(
    '%j is gzip',
    async coding => {
      const type = 'application/json';
      expect(await outcomes(type, gzipSync(JSON_BODY), { 'content-encoding': coding })).toEqual(['ok', 'ok']);
    },
  );

  it.each(['identity', 'Identity', 'identity, identity'])('%j is none', async coding => {
    expect(await outcomes('application/json', JSON_BODY, { 'content-encoding': coding })).toEqual(['ok', 'ok']);
    expect(await outcomes('application/grpc', envelope(PROTO_BODY), { 'grpc-encoding': coding })).toEqual(['ok', 'ok']);
  });

  it.each(['GZIP', 'x-gzip'])('of gRPC, gRPC-Web and a stream of Connect, %j, is gzip', async coding => {
    const zipped = envelope(gzipSync(PROTO_BODY), 1);
    for (const type of ['application/grpc', 'application/grpc-web+proto']) {
      expect(await outcomes(type, zipped, { 'grpc-encoding': coding })).toEqual(['ok', 'ok']);
    }
    const stream = envelope(gzipSync('{}'), 1);
    const headers = { 'connect-content-encoding': coding };
    expect(await outcomes('application/connect+json', stream, headers, WATCH)).toEqual(['ok', 'ok']);
  });

  it.each(['x-gzip', 'GZIP;q=1', 'identity;q=0.5, X-GZIP'])('is accepted as %j', async coding => {
    const posts = { getPost: () => ({ post: { content: 'long '.repeat(5_000) } }) };
    await using port = await openPublicPort({ posts });
    const session = http2.connect(port.url);
    const path = `${GET_POST}?encoding=json&message=%7B%7D`;
    const stream = session.request({ ':path': path, 'accept-encoding': coding });
    const [head] = await once(stream, 'response');
    expect(head['content-encoding']).toBe('gzip');
    expect(String(gunzipSync(Buffer.concat(await stream.toArray())))).toContain('long long');
    session.destroy();
  });
});

describe('A compression that there is not', () => {
  it.each([
    ['application/json', 'content-encoding', 'accept-encoding', 'gzip, br', JSON_BODY, GET_POST],
    ['application/grpc', 'grpc-encoding', 'grpc-accept-encoding', 'identity,gzip,br', envelope(PROTO_BODY), GET_POST],
    [
      'application/grpc-web+proto',
      'grpc-encoding',
      'grpc-accept-encoding',
      'identity,gzip,br',
      envelope(PROTO_BODY),
      GET_POST,
    ],
    ['application/grpc', 'grpc-encoding', 'grpc-accept-encoding', 'identity,gzip,br', envelope(PROTO_BODY), WATCH],
    [
      'application/connect+proto',
      'connect-content-encoding',
      'connect-accept-encoding',
      'gzip, br',
      envelope(Buffer.alloc(0)),
      WATCH,
    ],
  ])('of %s is UNIMPLEMENTED, and what there is is named: %s', async (type, field, accept, accepted, body, path) => {
    for (const port of ports) {
      const session = http2.connect(port.url);
      for (const name of ['deflate', 'zstd', 'gzip, br', 'gzip, gzip']) {
        const headers = { ':method': 'POST', ':path': path, 'content-type': type, [field]: name };
        const stream = session.request(headers);
        stream.end(body);
        const [head] = await once(stream, 'response');
        expect(head[accept]).toBe(accepted);
        stream.resume();
        await once(stream, 'close');
        const { error } = await sendRawRpc(port.url + path, type, body, { [field]: name });
        expect(error?.code).toBe(Code.Unimplemented);
        expect(error?.rawMessage).toContain('gzip,br');
      }
      session.destroy();
    }
  });
});

describe('The flags of a message', () => {
  it.each([
    ['application/grpc', GET_POST],
    ['application/grpc-web+proto', GET_POST],
    ['application/grpc', WATCH],
    ['application/grpc-web+proto', WATCH],
    ['application/connect+proto', WATCH],
  ])('must be 0 or 1: %s, %s', async (type, path) => {
    for (const flags of [2, 4, 0x40, 0x80, 0x81, 0xff]) {
      const message = path === WATCH ? Buffer.alloc(0) : PROTO_BODY;
      const expected = [Code.InvalidArgument, Code.InvalidArgument];
      expect(await outcomes(type, envelope(message, flags), {}, path), `flags ${flags}`).toEqual(expected);
    }
  });
});
