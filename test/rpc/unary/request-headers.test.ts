import type { HandlerContext } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PlainHttpClient } from '#test/support/plain-http-client.ts';
import { openPublicPort, type PublicPort } from '#test/support/public-port.ts';

let port: PublicPort;
let client: PlainHttpClient;
let seen: HandlerContext | undefined;

beforeAll(async () => {
  port = await openPublicPort({
    posts: {
      getPost: (_, context) => {
        seen = context;
        return {};
      },
    },
  });
  client = new PlainHttpClient(port.url);
});
afterAll(async () => {
  client[Symbol.dispose]();
  await port[Symbol.asyncDispose]();
});

describe.each([1, 2] as const)('The header that a handler sees, over HTTP/%i', version => {
  it.each([
    ['the values of a repeated field, joined', 'x-ask', ['a', 'b'], 'a, b'],
    ['binary values, joined', 'x-ask-bin', ['AAEC', 'AwQF'], 'AAEC, AwQF'],
    ['the cookies, joined as such', 'cookie', ['a=1', 'b=2'], 'a=1; b=2'],
    ['the first where only one is allowed', 'authorization', ['Bearer a', 'Bearer b'], 'Bearer a'],
  ])('has %s', async (_, name, values, expected) => {
    const headers = { 'content-type': 'application/json', [name]: values };
    const path = '/blog.v1.PostService/GetPost';
    const { status } = await client.ask({ version, method: 'POST', path, headers, body: Buffer.from('{}') });
    expect(status).toBe(200);
    expect(seen?.requestHeader.get(name)).toBe(expected);
    expect([...(seen?.requestHeader.keys() ?? [])].filter(key => key.startsWith(':'))).toEqual([]);
  });
});
