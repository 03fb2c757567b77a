import { Code } from '@connectrpc/connect';
import type { Compression } from '@connectrpc/connect/protocol';
import { compressionBrotli } from '@connectrpc/connect-node';
import { rpcError } from '#src/rpc/error-details.ts';

/**
 * Brotli whose decoder cannot take more memory than a message may. A decoder allocates the whole window that the first bits name, up to 16
 * MiB. A message of up to 4 MiB gains nothing from a larger window, and encoders do not use one by default.
 */
export const boundedBrotli: Compression = {
  name: compressionBrotli.name,
  compress: compressionBrotli.compress,
  async decompress(bytes, readMaxBytes) {
    // RFC 7932, 9.1: 1101 and 1111 in the lowest bits stand for windows of 2^23 and 2^24 bytes.
    const window = (bytes[0] ?? 0) & 0b1111;
    if (window === 0b1101 || window === 0b1111) {
      const reason = { reason: 'MESSAGE_TOO_LARGE' as const, metadata: { max_window_bytes: String(2 ** 22) } };
      throw rpcError(Code.ResourceExhausted, 'the window of brotli must be at most 4 MiB', reason);
    }
    return compressionBrotli.decompress(bytes, readMaxBytes);
  },
};
