import { once } from 'node:events';
import { type ClientHttp2Stream, connect, createServer, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import { describe, expect, it } from 'vitest';
import { writeHttp2Response } from '#src/rpc/adapter/http2-response.ts';

const MESSAGE = Buffer.alloc(2000, 'x');

describe('The response of a stream', () => {
  it('arrives whole, with its header and trailer', async () => {
    await using call = await openCall(response =>
      writeHttp2Response(
        {
          status: 200,
          header: new Headers({ 'content-type': 'application/grpc' }),
          body: messages(3),
          trailer: new Headers({ 'grpc-status': '0' }),
        },
        response,
      ),
    );
    const [header] = await once(call.stream, 'response');
    const trailer = once(call.stream, 'trailers');
    expect(header).toMatchObject({ ':status': 200, 'content-type': 'application/grpc' });
    expect(Buffer.concat(await call.stream.toArray())).toHaveLength(3 * MESSAGE.length);
    expect((await trailer)[0]).toMatchObject({ 'grpc-status': '0' });
  });

  it('takes no more messages than the reader does, but for a few', async () => {
    const unsent: number[] = [];
    await using call = await openCall(response =>
      writeHttp2Response(answer(messages(100, () => unsent.push(response.stream.writableLength))), response),
    );
    // The reader gives the server a window of 10,000 bytes, and no more until it has read them.
    expect(Buffer.concat(await call.stream.toArray())).toHaveLength(100 * MESSAGE.length);
    expect(Math.max(...unsent)).toBeLessThanOrEqual(4096);
  });

  it('tells who makes the messages when its client goes', async () => {
    const made = Promise.withResolvers<unknown>();
    await using call = await openCall(response =>
      writeHttp2Response(
        answer(
          (async function* () {
            try {
              for (;;) yield MESSAGE;
            } catch (error) {
              made.resolve(error);
            } finally {
              made.resolve('returned');
            }
          })(),
        ),
        response,
      ).catch(() => {}),
    );
    await once(call.stream, 'response');
    call.stream.close();
    expect(await made.promise).toBeInstanceOf(Error);
  });

  it('passes on what the messages fail of', async () => {
    const failed = Promise.withResolvers<unknown>();
    await using call = await openCall(response =>
      writeHttp2Response(
        answer(
          (async function* () {
            yield MESSAGE;
            throw new Error('no more');
          })(),
        ),
        response,
      ).catch(error => {
        failed.resolve(error);
        response.stream.close();
      }),
    );
    call.stream.resume();
    expect(await failed.promise).toMatchObject({ message: 'no more' });
  });
});

async function* messages(count: number, onTaken: () => unknown = () => {}): AsyncIterable<Uint8Array> {
  for (let n = 0; n < count; n++) {
    onTaken();
    yield MESSAGE;
  }
}

function answer(body: AsyncIterable<Uint8Array>): UniversalServerResponse {
  return { status: 200, header: new Headers(), body, trailer: new Headers() };
}

/** A call of a client that has a window of 10,000 bytes, answered by `respond`. */
async function openCall(
  respond: (response: Http2ServerResponse) => Promise<void>,
): Promise<AsyncDisposable & { readonly stream: ClientHttp2Stream }> {
  const server = createServer((_request, response) => void respond(response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    settings: { initialWindowSize: 10_000 },
  });
  const stream = session.request({ ':method': 'POST', ':path': '/' });
  stream.on('error', () => {});
  return {
    stream,
    [Symbol.asyncDispose]: async () => {
      session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
