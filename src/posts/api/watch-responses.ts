import { create, type Message } from '@bufbuild/protobuf';
import { createContextKey } from '@connectrpc/connect';
import { PostChangeKind, type WatchPostsResponse, WatchPostsResponseSchema } from '#gen/blog/v1/post_service_pb.js';
import { toMessage, toTimestamp } from '#src/posts/api/post-message.ts';
import type { PostChange } from '#src/posts/feed/post-change.ts';
import type { PostChangePosition } from '#src/posts/feed/post-change-position.ts';
import type { WatchedPlace } from '#src/posts/feed/post-watches.ts';
import type { ResumeTokens } from '#src/posts/feed/resume-token.ts';

/** Makes the responses of WatchPosts. All watchers at the same place share one, which is frozen. */
export class WatchResponses {
  readonly #tokens: ResumeTokens;
  readonly #remembered = new WeakMap<PostChange, Remembered>();
  #lastAlive: Remembered | undefined;

  constructor(tokens: ResumeTokens) {
    this.#tokens = tokens;
  }

  /** The response for a place. */
  of({ position, change }: WatchedPlace): WatchPostsResponse {
    if (change === undefined) return this.#alive(position);
    const remembered = this.#remembered.get(change);
    if (remembered !== undefined && isSame(remembered.position, position)) return remembered.response;
    const response = create(WatchPostsResponseSchema, {
      resumeToken: this.#tokens.seal(position),
      change: { kind: KINDS[change.kind], post: toMessage(change.post), changeTime: toTimestamp(change.time) },
    });
    this.#remembered.set(change, { position, response: Object.freeze(response) });
    return response;
  }

  /** Idle watchers share a place, too. */
  #alive(position: PostChangePosition): WatchPostsResponse {
    const last = this.#lastAlive;
    if (last !== undefined && isSame(last.position, position)) return last.response;
    const response = Object.freeze(create(WatchPostsResponseSchema, { resumeToken: this.#tokens.seal(position) }));
    this.#lastAlive = { position, response };
    return response;
  }
}

/**
 * Sends responses of a stream straight to its client. It bypasses the library's stages for each message, which take most
 * of the time. A frozen message is encoded once for all streams.
 *
 * A handler may use it after it has yielded the first response.
 */
export interface ResponseSender {
  /** Undefined if the client keeps up; else a promise that resolves when it has caught up, or left. */
  send(response: Message): Promise<void> | undefined;
}

/** The handler's sender; undefined: yield all responses. */
export const responseSenderKey = createContextKey<ResponseSender | undefined>(undefined, {
  description: 'response sender',
});

interface Remembered {
  readonly position: PostChangePosition;
  readonly response: WatchPostsResponse;
}

function isSame(a: PostChangePosition, b: PostChangePosition): boolean {
  return a.from.text === b.from.text && a.to?.text === b.to?.text && a.afterId === b.afterId && a.proof === b.proof;
}

const KINDS = {
  created: PostChangeKind.CREATED,
  updated: PostChangeKind.UPDATED,
  deleted: PostChangeKind.DELETED,
  undeleted: PostChangeKind.UNDELETED,
  purged: PostChangeKind.PURGED,
} as const satisfies Record<PostChange['kind'], PostChangeKind>;
