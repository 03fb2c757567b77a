/**
 * node:http with nothing on top: reads the request off, and answers with the head and the bytes that ours answers with
 * (`--answers FILE`). `--one-write`: the body is a string, which Node writes together with the head.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { readRecordedAnswers, requestKey } from '../recorded-answers.ts';
import { listenAndAnnounce } from './announce.ts';

const { answers, oneWrite } = readRecordedAnswers();
const byRequest = new Map(
  answers.map(({ method, contentType, head, body }) => {
    const bytes = Buffer.from(body, 'base64');
    return [requestKey(method, contentType), { head, body: oneWrite ? bytes.toString('latin1') : bytes }];
  }),
);

const server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
  if (request.method === 'GET') void answer(request, response);
  else request.resume().on('end', () => void answer(request, response));
});
await listenAndAnnounce(server);

async function answer({ method, headers }: IncomingMessage, response: ServerResponse): Promise<void> {
  const found = byRequest.get(requestKey(method, headers['content-type']));
  if (found === undefined) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'x-request-id': headers['x-request-id'] ?? randomUUID(), ...found.head });
  response.end(found.body, 'latin1');
}
