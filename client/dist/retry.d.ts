import { type Transport } from '@connectrpc/connect';
/**
 * Makes a unary call again that failed with UNAVAILABLE, where that is safe: a read, or a creation with a `request_id`. It waits
 * before, for 0.1, 0.2, 0.4 s and so on, up to 2 s, each less up to half by chance, and no shorter than the server asks for
 * (RetryInfo). A call does not go on beyond its deadline.
 *
 * Where many calls fail, they are not repeated any more until others go well: so clients do not make an outage worse. That budget is
 * gRPC's (https://github.com/grpc/proposal/blob/master/A6-client-retries.md, "Throttling Retry Attempts and Hedged RPCs"): 10 tokens, one
 * less for each failure, a tenth more for each success, and no repetition at 5 or below.
 *
 * @param attempts how often a call is made at most, the first time included; 1: never again.
 */
export declare function withRetries(transport: Transport, attempts: number): Transport;
/**
 * How long to wait before a call is made again, in milliseconds: 100, 200, 400 and so on, each less up to half by chance, and no shorter
 * than the server asks for (RetryInfo).
 *
 * @param attempt how often the call has failed.
 * @param longestMs the longest pause, unless the server asks for more.
 * @param random 0 ≤ n < 1.
 */
export declare function backoffMs(attempt: number, error: unknown, longestMs?: number, random?: number): number;
/**
 * Waits.
 *
 * @throws ConnectError with CANCELED when the signal aborts.
 */
export declare function pause(ms: number, signal: AbortSignal | undefined): Promise<void>;
