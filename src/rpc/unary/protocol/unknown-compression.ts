import { Code, ConnectError } from '@connectrpc/connect';

/** UNIMPLEMENTED for an unknown encoding. It names the accepted ones, in connect-node's words. */
export function unknownCompression(name: string, encodings: readonly string[]): ConnectError {
  return new ConnectError(
    `unknown compression "${name}": supported encodings are ${encodings.join(',')}`,
    Code.Unimplemented,
  );
}
