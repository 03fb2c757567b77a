import type { Client } from '@connectrpc/connect';
import { ConnectError } from '@connectrpc/connect';
import { errorInfo } from '#client/errors.ts';
import type { PostService } from '#gen/blog/v1/post_service_pb.js';
import { describeCallError, isTransient, networkErrorCode } from '#src/cli/call-error.ts';
import { type RetryOptions, withRetry } from '#src/cli/retry.ts';

/**
 * The service does not answer, which is no fault of any one file: the whole run ends. The message says why, and follows on
 * the words "the service".
 */
export class ServiceLostError extends Error {
  override readonly name = 'ServiceLostError';
}

/**
 * Makes one cheap call, so that a service that can't be reached is told once, and at once.
 *
 * @throws ServiceLostError where nothing listens, or what answers is not PostService.
 */
export async function checkService(client: Client<typeof PostService>, options: RetryOptions): Promise<void> {
  const call = () => client.listPosts({ pageSize: 1 }, callOptions(options.signal));
  try {
    await call();
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof ConnectError)) throw error;
    // Nobody there, or another: waiting won't help. Otherwise it is there, and busy.
    if (errorInfo(error) === undefined) throw serviceLost(error);
    await withRetry(call, options).catch(last => {
      throw last instanceof ConnectError ? serviceLost(last) : last;
    });
  }
}

/** withRetry, and a service that still can't answer then is lost. */
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
