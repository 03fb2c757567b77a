/**
 * node:http2 with nothing on top: its stream API, which reads the request off and answers with the head, the bytes and the
 * trailers that ours answers with (`--answers FILE`).
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { readRecordedAnswers, requestKey } from '../recorded-answers.ts';
import { listenAndAnnounce } from './announce.ts';

const { answers } = readRecordedAnswers();
const byRequest = new Map(
  answers.map(({ method, contentType, head, body, trailers }) => [
    requestKey(method, contentType),
    { head, body: Buffer.from(body, 'base64'), trailers: Object.keys(trailers).length > 0 ? trailers : undefined },
  ]),
);

const server = createServer();
server.on('stream', (stream, headers) => {
  stream.resume();
  stream.on('end', () => void answer(stream as ServerHttp2Stream, headers));
});
await listenAndAnnounce(server);

async function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
  const found = byRequest.get(requestKey(headers[':method'], headers['content-type']));
  if (found === undefined) {
    stream.respond({ ':status': 404 }, { endStream: true });
    return;
  }
  const { head, body, trailers } = found;
  stream.respond(
    { ':status': 200, 'x-request-id': headers['x-request-id'] ?? randomUUID(), ...head },
    { waitForTrailers: trailers !== undefined },
  );
  if (trailers !== undefined) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.end(body);
}
