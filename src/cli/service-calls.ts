import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as sleepFor } from 'node:timers/promises';
import type { Client } from '@connectrpc/connect';
import { Code, ConnectError } from '@connectrpc/connect';
import { errorInfo, fieldViolations, retryDelayMs } from '#client/errors.ts';
import { createPostClient, type PostClient } from '#client/node.ts';
import { backoffMs } from '#client/retry.ts';
import type { PostService } from '#gen/blog/v1/post_service_pb.js';

/** A client of a running service. Disposing of it closes its connections. */
export interface Connection extends Disposable {
  readonly client: PostClient;
}

/**
 * Prepares to call the service at `url`; nothing is sent yet.
 *
 * callService repeats calls, because it knows which of them are safe to repeat. Reads go as POST, so that no HTTP cache answers them.
 *
 * @param maxConnections as many as calls are made at once.
 */
export function connectTo(url: string, maxConnections: number): Connection {
  const options = { keepAlive: true, maxSockets: maxConnections };
  const agent = url.startsWith('https:') ? new HttpsAgent(options) : new HttpAgent(options);
  const nodeOptions = { agent };
  const client = createPostClient(url, { attempts: 1, timeoutMs: CALL_TIMEOUT_MS, useHttpGet: false, nodeOptions });
  return { client, [Symbol.dispose]: () => agent.destroy() };
}

/** A page of 3 MiB arrives within this over a slow line, and a hanging service is noticed. */
const CALL_TIMEOUT_MS = 15_000;

/**
 * The service does not answer. That is not the fault of one file, so the run ends. The message says why, and is read after the words
 * "the service".
 */
export class ServiceLostError extends Error {
  override readonly name = 'ServiceLostError';
}

/**
 * Makes one cheap call, so that an unreachable service is reported once, and at once.
 *
 * @throws ServiceLostError if nothing listens, or if the server that answers is not PostService.
 */
export async function checkService(client: Client<typeof PostService>, options: RetryOptions): Promise<void> {
  const call = () => client.listPosts({ pageSize: 1 }, callOptions(options.signal));
  try {
    await call();
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof ConnectError)) throw error;
    // Without ErrorInfo nothing listens, or another server does: waiting would not help. With it the service is busy.
    if (errorInfo(error) === undefined) throw serviceLost(error);
    await withRetry(call, options).catch(last => {
      throw last instanceof ConnectError ? serviceLost(last) : last;
    });
  }
}

/** As withRetry. @throws ServiceLostError if the service does not answer after all attempts. */
export async function callService<T>(call: () => Promise<T>, options: RetryOptions): Promise<T> {
  try {
    return await withRetry(call, options);
  } catch (error) {
    throw isTransient(error) ? serviceLost(error) : error;
  }
}

/** A call's options for an optional signal. */
export function callOptions(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}

function serviceLost(error: ConnectError): ServiceLostError {
  const network = networkErrorCode(error);
  const isOurs = errorInfo(error) !== undefined || isTransient(error);
  const message =
    network !== undefined
      ? `can't be reached (${NETWORK_ERRORS[network] ?? network})`
      : `${isOurs ? "can't answer now" : 'is not PostService'}: ${describeCallError(error)}`;
  return new ServiceLostError(message, { cause: error });
}

const NETWORK_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection closed',
  EPIPE: 'connection closed',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'no such host',
  ETIMEDOUT: 'timed out',
};

/**
 * Whether the same call may succeed later: UNAVAILABLE, a rate limit, a passed deadline, a conflict of writes, a broken connection.
 */
export function isTransient(error: unknown): error is ConnectError {
  if (!(error instanceof ConnectError)) return false;
  if (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded) return true;
  if (error.code === Code.ResourceExhausted) return retryDelayMs(error) !== undefined;
  const reason = errorInfo(error)?.reason;
  return reason === undefined ? networkErrorCode(error) !== undefined : reason === 'WRITE_CONFLICT';
}

/** The system's code, such as ECONNREFUSED, of an error below HTTP. */
export function networkErrorCode(error: ConnectError): string | undefined {
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string' && /^E[A-Z]/.test(cause.code)) return cause.code;
  }
  return undefined;
}

/** The service's answer in one line: the fields that it names, or its message. */
export function describeCallError(error: ConnectError): string {
  const message =
    fieldViolations(error)
      .map(({ field, description }) => `${field}: ${description}`)
      .join('; ') || error.rawMessage;
  return `${message} (${Code[error.code]})`;
}

export interface RetryOptions {
  /** Ends the waiting, and the call. */
  readonly signal?: AbortSignal | undefined;
  /** The most attempts of a call. Default: 8, whose delays bridge the restart of a service. */
  readonly attempts?: number;
  /** For tests: how to wait. */
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<unknown>;
  /** For tests: 0 ≤ n < 1. */
  readonly random?: () => number;
}

/**
 * Repeats a call while the service cannot answer. The call must be safe to repeat: a read, or a write with a request_id or an etag.
 *
 * The delays double from 100 ms to 5 s, each reduced by up to half by chance, so that many callers do not return at once. They are never
 * shorter than the RetryInfo of the service, up to 30 s.
 *
 * @throws the last error, when it is not transient or the attempts are used up; the signal's reason when that fires.
 */
export async function withRetry<T>(call: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const { signal, attempts = 8, sleep = wait, random = Math.random } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      signal?.throwIfAborted();
      if (attempt >= attempts || !isTransient(error)) throw error;
      await sleep(Math.min(MAX_ASKED_DELAY_MS, backoffMs(attempt, error, MAX_DELAY_MS, random())), signal);
    }
  }
}

const MAX_DELAY_MS = 5000;
const MAX_ASKED_DELAY_MS = 30_000;

function wait(ms: number, signal: AbortSignal | undefined): Promise<unknown> {
  return sleepFor(ms, undefined, signal && { signal });
}
