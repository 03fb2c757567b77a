import { Code, ConnectError } from '@connectrpc/connect';
import { retryDelayMs } from './errors.js';
import { pause } from './retry.js';
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
export async function* followPosts(client, request = {}, { signal, headers, silenceMs = 45_000, onLost } = {}) {
    let resumeToken = request.resumeToken ?? '';
    for (let failures = 0; !signal?.aborted;) {
        const stream = new AbortController();
        const end = () => stream.abort();
        signal?.addEventListener('abort', end);
        let silence = setTimeout(end, silenceMs);
        let error;
        try {
            const options = { signal: stream.signal, ...(headers && { headers }) };
            for await (const response of client.watchPosts({ ...request, resumeToken }, options)) {
                clearTimeout(silence);
                yield response;
                // Not before it was handled: a loop that is left begins again with what it had not handled.
                resumeToken = response.resumeToken;
                failures = 0;
                silence = setTimeout(end, silenceMs);
            }
        }
        catch (reason) {
            error = ConnectError.from(reason);
            if (signal?.aborted)
                return;
            if (FINAL.has(error.code))
                throw error;
        }
        finally {
            clearTimeout(silence);
            signal?.removeEventListener('abort', end);
            stream.abort();
        }
        if (signal?.aborted)
            return;
        onLost?.(error);
        const leastMs = error === undefined ? 0 : (retryDelayMs(error) ?? 0);
        // Where the signal ends the pause, the loop ends.
        await pause(pauseMs(leastMs, failures++), signal).catch(() => { });
    }
}
/** With jitter, so that clients that were cut off together do not come back together; the first time hardly at all. */
function pauseMs(leastMs, failures) {
    return leastMs + Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** Math.min(failures, 20)) * Math.random();
}
const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** Repeating the call does not help. Others come from a connection that was lost, or a service that is not there now. */
const FINAL = new Set([
    Code.InvalidArgument,
    Code.OutOfRange,
    Code.NotFound,
    Code.Unimplemented,
    Code.PermissionDenied,
    Code.Unauthenticated,
    Code.FailedPrecondition,
]);
