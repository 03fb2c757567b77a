/** The call was refused, so that others can be served. It may be retried after a while. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError';
}
