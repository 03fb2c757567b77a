import type { Interceptor } from '@connectrpc/connect';
/** What readYourWrites remembers. Every option may be left out. */
export interface ReadYourWritesOptions {
    /**
     * For how long reads carry a write, in milliseconds. Default: 60,000, the service's own bound for what an instance may not have heard of;
     * give more where the service has read replicas that may be further behind.
     */
    readonly keepMs?: number;
}
/**
 * Makes an interceptor by which whoever has written reads no answer without that write, from whichever instance: reads carry the
 * consistency tokens of the writes before them. Without it that holds for the instance that has written, and others follow within
 * milliseconds.
 *
 * Reads that carry one go by POST, so that no cache on the way answers them. Share one interceptor among the clients that are to see each
 * other's writes. Of writes at the same time, the last ten are remembered.
 */
export declare function readYourWrites({ keepMs }?: ReadYourWritesOptions): Interceptor;
/** The header of requests and responses. */
export declare const CONSISTENCY_TOKEN = "x-consistency-token";
