import { Code, ConnectError } from '@connectrpc/connect';
import { retryDelayMs } from './errors.ts';
import { pause } from './retry.ts';

type HeaderSource = NonNullable<ConstructorParameters<typeof Headers>[0]>;

/** Which changes to follow, and from where. */
export interface FollowRequest {
  /** The token of the last response that was handled, from any stream. Default: the stream begins now. */
  readonly resumeToken?: string;
  /** Only posts of this author. */
  readonly author?: string;
  /** Only posts with this tag. */
  readonly tag?: string;
}

/** How to follow them. Every option may be left out. */
export interface FollowOptions {
  /** Ends the loop without an error. */
  readonly signal?: AbortSignal;
  /** Sent with each call. */
  readonly headers?: HeaderSource;
  /**
   * After this silence, in milliseconds, a stream is replaced by a new one. Default: 45,000, three times the service's heartbeat.
   */
  readonly silenceMs?: number;
  /** Called for each lost stream, before the next attempt; for a log. */
  readonly onLost?: (error: ConnectError | undefined) => void;
}

/**
 * Follows the changes of posts for as long as the loop over it goes on. If a stream ends, breaks, or is silent for too long, the next one
 * continues after the last response that the loop has taken. So every change comes once, also over restarts of the service.
 *
 * Responses without a change are heartbeats, whose `resumeToken` is valid too. To continue after a restart of your own process, keep the
 * token of the last response that you have handled.
 *
 * @param client of Node or of a browser.
 * @throws ConnectError with OUT_OF_RANGE if the token is older than the changes that are kept: list the posts anew, and follow without a
 *   token. Also errors that no repetition can mend, such as INVALID_ARGUMENT.
 */
export async function* followPosts<Response extends { readonly resumeToken: string }>(
  client: WatchingClient<Response>,
  request: FollowRequest = {},
  { signal, headers, silenceMs = 45_000, onLost }: FollowOptions = {},
): AsyncGenerator<Response, void, void> {
  let resumeToken = request.resumeToken ?? '';
  for (let failures = 0; !signal?.aborted; ) {
    const stream = new AbortController();
    const end = () => stream.abort();
    signal?.addEventListener('abort', end);
    let silence = setTimeout(end, silenceMs);
    let error: ConnectError | undefined;
    try {
      const options = { signal: stream.signal, ...(headers && { headers }) };
      for await (const response of client.watchPosts({ ...request, resumeToken }, options)) {
        clearTimeout(silence);
        yield response;
        // Only after it was handled: a loop that is left begins again with what it has not handled.
        resumeToken = response.resumeToken;
        failures = 0;
        silence = setTimeout(end, silenceMs);
      }
    } catch (reason) {
      error = ConnectError.from(reason);
      if (signal?.aborted) return;
      if (FINAL.has(error.code)) throw error;
    } finally {
      clearTimeout(silence);
      signal?.removeEventListener('abort', end);
      stream.abort();
    }
    if (signal?.aborted) return;
    onLost?.(error);
    const leastMs = error === undefined ? 0 : (retryDelayMs(error) ?? 0);
    // Where the signal ends the pause, the loop ends.
    await pause(pauseMs(leastMs, failures++), signal).catch(() => {});
  }
}

/** The part of a client that it needs. */
export interface WatchingClient<Response> {
  watchPosts(
    request: FollowRequest,
    options: { readonly signal?: AbortSignal; readonly headers?: HeaderSource },
  ): AsyncIterable<Response>;
}

/** With jitter, so that clients that lost their streams together do not return together. The first pause is short. */
function pauseMs(leastMs: number, failures: number): number {
  return leastMs + Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** Math.min(failures, 20)) * Math.random();
}

const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;

/** Codes that no repetition can mend. Others come from a lost connection, or from a service that is away. */
const FINAL: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.OutOfRange,
  Code.NotFound,
  Code.Unimplemented,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.FailedPrecondition,
]);
