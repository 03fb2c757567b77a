import { setTimeout as sleep } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Any, anyPack } from '@bufbuild/protobuf/wkt';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import {
  type BidiStreamRequest,
  BidiStreamRequestSchema,
  type ClientStreamRequest,
  ClientStreamRequestSchema,
  ConformancePayload_RequestInfoSchema,
  type ConformancePayloadSchema,
  type ConformanceService,
  type Error as ErrorDefinition,
  type Header,
  type IdempotentUnaryRequest,
  IdempotentUnaryRequestSchema,
  type ServerStreamRequest,
  ServerStreamRequestSchema,
  type StreamResponseDefinition,
  type UnaryRequest,
  UnaryRequestSchema,
  type UnaryResponseDefinition,
} from './gen/connectrpc/conformance/v1/service_pb.js';
import { type RequestInfo, requestInfo } from './request-info.ts';
import { RequestedError } from './requested-error.ts';

/**
 * Answers each call as the call itself says: with these headers and trailers, these messages at this pace, or this error;
 * and tells in the answer what it saw of the call. The comments of service.proto have the rules.
 *
 * `unimplemented` is missing, as they ask.
 */
export class ConformanceServiceImpl implements Omit<ServiceImpl<typeof ConformanceService>, 'unimplemented'> {
  unary(request: UnaryRequest, context: HandlerContext) {
    return answerOnce(request.responseDefinition, [anyPack(UnaryRequestSchema, request)], context);
  }

  idempotentUnary(request: IdempotentUnaryRequest, context: HandlerContext) {
    return answerOnce(request.responseDefinition, [anyPack(IdempotentUnaryRequestSchema, request)], context);
  }

  async clientStream(requests: AsyncIterable<ClientStreamRequest>, context: HandlerContext) {
    let definition: UnaryResponseDefinition | undefined;
    const received: Any[] = [];
    for await (const request of requests) {
      if (received.length === 0) definition = request.responseDefinition;
      received.push(anyPack(ClientStreamRequestSchema, request));
    }
    return answerOnce(definition, received, context);
  }

  async *serverStream(request: ServerStreamRequest, context: HandlerContext): AsyncGenerator<Answer> {
    const answers = new StreamAnswers(request.responseDefinition, context);
    yield* answers.remaining([anyPack(ServerStreamRequestSchema, request)]);
  }

  async *bidiStream(requests: AsyncIterable<BidiStreamRequest>, context: HandlerContext): AsyncGenerator<Answer> {
    let answers: StreamAnswers | undefined;
    let fullDuplex = false;
    let unanswered: Any[] = [];
    for await (const request of requests) {
      if (answers === undefined) {
        answers = new StreamAnswers(request.responseDefinition, context);
        fullDuplex = request.fullDuplex;
      }
      unanswered.push(anyPack(BidiStreamRequestSchema, request));
      if (!fullDuplex) continue;
      if (!answers.hasNext) break;
      yield await answers.next(unanswered);
      unanswered = [];
    }
    if (answers !== undefined) yield* answers.remaining(unanswered);
  }
}

/** The answers to one stream, one after the other. */
class StreamAnswers {
  readonly #data: readonly Uint8Array[];
  readonly #delayMs: number;
  readonly #error: ErrorDefinition | undefined;
  readonly #context: HandlerContext;
  #sent = 0;

  constructor(definition: StreamResponseDefinition | undefined, context: HandlerContext) {
    setMetadata(definition, context);
    this.#data = definition?.responseData ?? [];
    this.#delayMs = definition?.responseDelayMs ?? 0;
    this.#error = definition?.error;
    this.#context = context;
  }

  get hasNext(): boolean {
    return this.#sent < this.#data.length;
  }

  /** The next answer, after its delay. The first has all that was seen of the call, the others the requests that came since. */
  async next(requests: readonly Any[]): Promise<Answer> {
    await delay(this.#delayMs, this.#context.signal);
    const data = this.#data[this.#sent++] as Uint8Array;
    if (this.#sent === 1) return answer(data, requestInfo(this.#context, requests));
    return answer(data, requests.length === 0 ? undefined : { requests: [...requests] });
  }

  /** All answers that are left, and then the error, if one was requested. */
  async *remaining(requests: readonly Any[]): AsyncGenerator<Answer> {
    const nothingSent = this.#sent === 0;
    while (this.hasNext) yield await this.next(this.#sent === 0 ? requests : []);
    if (this.#error === undefined) return;
    throw requestedError(
      this.#error,
      nothingSent && this.#sent === 0 ? requestInfo(this.#context, requests) : undefined,
    );
  }
}

/** The answer of a call that has one only. */
async function answerOnce(
  definition: UnaryResponseDefinition | undefined,
  requests: readonly Any[],
  context: HandlerContext,
): Promise<Answer> {
  setMetadata(definition, context);
  // What was seen is what there was at the start: the deadline's remainder shrinks meanwhile.
  const info = requestInfo(context, requests);
  await delay(definition?.responseDelayMs ?? 0, context.signal);
  if (definition?.response.case === 'error') throw requestedError(definition.response.value, info);
  return answer(definition?.response.value ?? new Uint8Array(), info);
}

function answer(data: Uint8Array, info: RequestInfo | undefined): Answer {
  return { payload: { data, ...(info === undefined ? {} : { requestInfo: info }) } };
}

/** @param info what was seen of the call, which is among the details where there was no message that could have it. */
function requestedError(definition: ErrorDefinition, info: RequestInfo | undefined): RequestedError {
  const error = new RequestedError(definition);
  if (info !== undefined) error.error.details.push({ desc: ConformancePayload_RequestInfoSchema, value: info });
  return error;
}

function setMetadata(
  definition: UnaryResponseDefinition | StreamResponseDefinition | undefined,
  context: HandlerContext,
) {
  append(context.responseHeader, definition?.responseHeaders);
  append(context.responseTrailer, definition?.responseTrailers);
}

function append(target: Headers, headers: readonly Header[] = []): void {
  for (const { name, value } of headers) for (const each of value) target.append(name, each);
}

/** Rejects as soon as the call is aborted. */
async function delay(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal });
}

/** Every response has a payload, and nothing else. */
interface Answer {
  readonly payload: MessageInitShape<typeof ConformancePayloadSchema>;
}
