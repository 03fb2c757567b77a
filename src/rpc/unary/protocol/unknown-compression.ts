import { Code, ConnectError } from '@connectrpc/connect';

/** UNIMPLEMENTED, for a request in an encoding that is none of ours; it names those that are, in connect-node's words. */
export function unknownCompression(name: string, encodings: readonly string[]): ConnectError {
  return new ConnectError(
    `unknown compression "${name}": supported encodings are ${encodings.join(',')}`,
    Code.Unimplemented,
  );
}
