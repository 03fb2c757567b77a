import { isDeepStrictEqual } from 'node:util';
import { fromBinary, toJson } from '@bufbuild/protobuf';
import { GetPostResponseSchema } from '#gen/blog/v1/post_service_pb.js';
import type { Arm } from './arms.ts';
import { type Answer, ask, messageOf } from './ask.ts';
import type { RecordedAnswer } from './recorded-answers.ts';
import { samplePostResponse } from './sample-post.ts';
import { WORKLOADS, type WorkloadId } from './workloads.ts';

/** Asks a server for its answer to each of the workloads, for others to repeat. */
export async function recordAnswers(port: number, workloads: readonly WorkloadId[]): Promise<RecordedAnswer[]> {
  return await Promise.all(
    workloads.map(async id => {
      const workload = WORKLOADS[id];
      const { status, head, body, trailers } = await ask(port, workload);
      if (status !== 200) throw new Error(`${workload.title}: answered ${status} ${body.toString()}`);
      return {
        method: workload.method,
        contentType: workload.headers['content-type'],
        head: withoutNamed(head),
        body: body.toString('base64'),
        trailers,
      };
    }),
  );
}

/**
 * Sees to it that an arm's server answers with the post.
 *
 * @returns the answer's length in bytes and how it is compressed.
 * @throws where it answers with anything else.
 */
export async function checkAnswer({ contestant, workload, process }: Arm): Promise<CheckedAnswer> {
  const answer = await ask(process.port, workload);
  const expected = toJson(GetPostResponseSchema, samplePostResponse()) as { readonly post: unknown };
  const found = answer.status === 200 ? decode(answer) : answer.body.toString();
  if (!isDeepStrictEqual(found, expected)) {
    throw new Error(`${contestant.name}, ${workload.title}: answered ${answer.status} ${JSON.stringify(found)}`);
  }
  const { head, body, trailers } = answer;
  const status = trailers['grpc-status'] ?? '0';
  if (status !== '0') throw new Error(`${contestant.name}, ${workload.title}: grpc-status ${status}`);
  return { bytes: body.length, encoding: head['content-encoding'] ?? 'identity', head: withoutNamed(head) };
}

export interface CheckedAnswer {
  /** Of the body. */
  readonly bytes: number;
  readonly encoding: string;
  readonly head: Readonly<Record<string, string>>;
}

function decode(answer: Answer): unknown {
  const message = messageOf(answer);
  if (answer.head['content-type']?.startsWith('application/json') === true) return JSON.parse(message.toString());
  return toJson(GetPostResponseSchema, fromBinary(GetPostResponseSchema, message));
}

/** What belongs to one call or one connection. */
function withoutNamed(head: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(head).filter(([name]) => !OWN.has(name)));
}

const OWN = new Set(['date', 'x-request-id', 'connection', 'keep-alive']);
