import { type Transport } from '@connectrpc/connect';
/**
 * Gives up unary calls that set no timeout of their own after `timeoutMs` (0: never) with DEADLINE_EXCEEDED, without a
 * header that tells the server: it notices when the browser closes the request.
 */
export declare function withUnaryTimeout(transport: Transport, timeoutMs: number): Transport;
