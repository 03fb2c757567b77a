import { MethodOptions_IdempotencyLevel as Idempotency } from '@bufbuild/protobuf/wkt';
import type { Interceptor } from '@connectrpc/connect';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { ByteBudget } from '#src/resilience/byte-budget.ts';
import { CRITICALITY_FIELD, parseCriticality } from '#src/resilience/criticality.ts';
import { callKey } from '#src/rpc/outcome.ts';
import { createMessageWeigher } from '#src/rpc/unary/codec/message-parts.ts';
import { LARGE_ANSWER_BYTES } from '#src/rpc/unary/protocol/unary-call.ts';
import type { CallRecord } from '#src/wire/call-record.ts';
import { piecesOf } from '#src/wire/pieces.ts';

/**
 * The stage for calls through connect-node: a large answer takes its memory from the budget, and gives it back when the response has ended.
 */
export function largeAdaptedAnswers(budget: ByteBudget): Interceptor {
  const weigh = createMessageWeigher();
  return next => async request => {
    const response = await next(request);
    if (response.stream) return response;
    const { method, header, contextValues } = request;
    const bytes = BYTES_PER_UNIT * weigh(method.output, response.message);
    const call = contextValues.get(callKey);
    if (bytes < LARGE_ANSWER_BYTES * BYTES_PER_UNIT || call === undefined) return response;
    const criticality = parseCriticality(header.get(CRITICALITY_FIELD));
    const isSafe = method.idempotency === Idempotency.NO_SIDE_EFFECTS;
    call.held = budget.take(bytes, criticality, { mustHave: !isSafe });
    return response;
  };
}

/** The same answer with its large body written in pieces, so that the client's progress is known. */
export function inPieces(answer: UniversalServerResponse, call: CallRecord, cut: () => void): UniversalServerResponse {
  const { held } = call;
  if (held === undefined || answer.body === undefined) return answer;
  held.sends(cut);
  return { ...answer, body: pieces(answer.body, () => held.moved()) };
}

async function* pieces(body: AsyncIterable<Uint8Array>, moved: () => void): AsyncGenerator<Uint8Array> {
  for await (const { buffer, byteOffset, byteLength } of body) {
    for (const piece of piecesOf(Buffer.from(buffer, byteOffset, byteLength))) {
      yield piece;
      moved();
    }
  }
}

/** The library holds a message several times in JSON, with at most six bytes for a character. */
const BYTES_PER_UNIT = 6;
