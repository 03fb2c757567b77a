import { Code, ConnectError, createContextKey, type Interceptor, type StreamResponse } from '@connectrpc/connect';
import { codeToString } from '@connectrpc/connect/protocol-connect';
import { rpcError } from '#src/rpc/error-details.ts';
import { toClientError } from '#src/rpc/error-mapping.ts';
import type { CallRecord } from '#src/wire/call-record.ts';

/** The context key of the call's record. */
export const callKey = createContextKey<CallRecord | undefined>(undefined, { description: 'call' });

/**
 * The outermost stage. The client gets an answer by its deadline, every error is from the table, and the call has an outcome.
 *
 * @param translate translates an error for the client. Default: by the service's own table.
 */
export function outcome(translate: ErrorTranslator = toClientError): Interceptor {
  return next => async request => {
    const call = request.contextValues.get(callKey);
    try {
      const response = await beforeAbort(next(request), request.signal);
      if (call !== undefined) call.answered = true;
      if (response.stream) return { ...response, message: observe(response, call, request.signal, translate) };
      finish(call, undefined);
      return response;
    } catch (error) {
      throw finish(call, explain(error, request.signal, translate));
    }
  };
}

/** Records the success of a call without stages: it was answered with a message. */
export function settleOk(call: CallRecord): void {
  finish(call, undefined);
}

/**
 * Records the failure of a call without stages.
 *
 * @param aborted why it ended before its handler did.
 * @returns the error for the client.
 */
export function settleFailed(
  call: CallRecord,
  error: unknown,
  aborted: ConnectError | undefined,
  translate: ErrorTranslator,
): ConnectError {
  // Its stack is never read.
  if (aborted?.code === Code.Canceled) return finish(call, CANCELED);
  return finish(call, translate(aborted === undefined ? error : abortError(aborted)));
}

/** Settles like the work, or rejects as soon as the call is aborted. The work itself may notice later. */
function beforeAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

async function* observe(
  response: StreamResponse,
  call: CallRecord | undefined,
  signal: AbortSignal,
  translate: ErrorTranslator,
) {
  let isWriting = false;
  try {
    for await (const message of response.message) {
      isWriting = true;
      yield message;
      isWriting = false;
    }
    // A handler may end normally at its deadline. The client must not see that as a complete stream.
    if (isDeadline(signal)) throw signal.reason;
    finish(call, undefined);
  } catch (error) {
    // The writer of messages throws it in here, and handles it.
    if (isWriting) throw error;
    throw finish(call, explain(error, signal, translate));
  }
}

/** The error for the client. The reason of the abort wins over the error of the work. */
function explain(error: unknown, signal: AbortSignal, translate: ErrorTranslator): ConnectError {
  return translate(signal.aborted ? abortError(signal.reason) : error);
}

function isDeadline({ aborted, reason }: AbortSignal): boolean {
  return aborted && reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
}

function abortError(reason: unknown): ConnectError {
  if (reason instanceof ConnectError && reason.code === Code.DeadlineExceeded) {
    return rpcError(Code.DeadlineExceeded, "the call's deadline passed", { reason: 'DEADLINE_EXCEEDED' });
  }
  if (reason instanceof ConnectError && reason.code !== Code.Canceled) return reason;
  return canceledError();
}

function canceledError(): ConnectError {
  return rpcError(Code.Canceled, 'the client cancelled the call', { reason: 'CANCELED' });
}

function finish<E extends ConnectError | undefined>(call: CallRecord | undefined, error: E): E {
  if (call === undefined) return error;
  call.code = error === undefined ? 'ok' : codeToString(error.code);
  call.cause = error?.cause;
  return error;
}

/** Shared by all calls, because clients may cancel in floods. */
const CANCELED = canceledError();

type ErrorTranslator = (error: unknown) => ConnectError;
