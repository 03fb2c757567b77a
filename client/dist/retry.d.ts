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
