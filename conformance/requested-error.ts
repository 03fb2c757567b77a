import { type Code, ConnectError } from '@connectrpc/connect';
import { toClientError } from '#src/rpc/error-mapping.ts';
import type { Error as ErrorDefinition } from './gen/connectrpc/conformance/v1/service_pb.js';

/** The error that a request has asked for. */
export class RequestedError extends Error {
  override readonly name = 'RequestedError';
  readonly error: ConnectError;

  constructor({ code, message, details }: ErrorDefinition) {
    super(message);
    const given = details.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf('/') + 1), value }));
    this.error = new ConnectError(message ?? '', code as number as Code);
    this.error.details = given;
  }
}

/**
 * Gives a requested error to the client as it was requested, and makes of any other what the service makes of it, but for the
 * details.
 */
export function toConformanceError(error: unknown): ConnectError {
  return error instanceof RequestedError ? error.error : withoutDetails(toClientError(error));
}

/** The error without its details: the service gives an ErrorInfo to each, and the suite wants those that it asked for. */
export function withoutDetails({ rawMessage, code, metadata, cause }: ConnectError): ConnectError {
  return new ConnectError(rawMessage, code, metadata, [], cause);
}
