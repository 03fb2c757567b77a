import { ConnectError } from '@connectrpc/connect';
type HeaderSource = NonNullable<ConstructorParameters<typeof Headers>[0]>;
/** Which changes to follow, and from where. */
export interface FollowRequest {
    /** Of the last response that was handled, from whichever stream; default: from now on. */
    readonly resumeToken?: string;
    /** Only posts of this author. */
    readonly author?: string;
    /** Only posts with this tag. */
    readonly tag?: string;
}
/** How to follow them. Every option may be left out. */
export interface FollowOptions {
    /** Ends it: the loop over it ends, without an error. */
    readonly signal?: AbortSignal;
    /** Sent with each call. */
    readonly headers?: HeaderSource;
    /**
     * A stream that is silent for longer than this, in milliseconds, is given up, and a new one opened. Default: 45,000, three times the
     * service's heartbeat.
     */
    readonly silenceMs?: number;
    /** Told of each stream that was lost, before the next is tried; for a log. */
    readonly onLost?: (error: ConnectError | undefined) => void;
}
/**
 * Follows the changes of posts for as long as the loop over it goes on. Where a stream ends, breaks, or is silent for too long, the next
 * one goes on behind the last response that was taken. So every change comes once, also over restarts of the service.
 *
 * Responses without a change are signs of life; their `resumeToken` is as good as others'. To go on after a restart of your own, keep the
 * token of the last response that you have handled.
 *
 * @param client of Node or of a browser.
 * @throws ConnectError with OUT_OF_RANGE where the token is older than the changes that are kept: list what is of interest anew, and
 *   follow without a token; and what no repetition helps with, such as INVALID_ARGUMENT.
 */
export declare function followPosts<Response extends {
    readonly resumeToken: string;
}>(client: WatchingClient<Response>, request?: FollowRequest, { signal, headers, silenceMs, onLost }?: FollowOptions): AsyncGenerator<Response, void, void>;
/** What there has to be of a client. */
export interface WatchingClient<Response> {
    watchPosts(request: FollowRequest, options: {
        readonly signal?: AbortSignal;
        readonly headers?: HeaderSource;
    }): AsyncIterable<Response>;
}
export {};
