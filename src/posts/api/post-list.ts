import { PostView, PublishState } from '#gen/blog/v1/post_pb.js';
import type { ListPostsRequest } from '#gen/blog/v1/post_service_pb.js';
import type { PostFilter } from '#src/posts/post-store.ts';

/** The filter of a list. Empty text filters nothing. */
export function toPostFilter({ author, tag, publishState, showDeleted }: ListPostsRequest): PostFilter {
  return { author: author || undefined, tag: tag || undefined, state: toState(publishState), showDeleted };
}

/** Whether a view has the posts' content. */
export function hasContent(view: PostView): boolean {
  return view === PostView.FULL;
}

function toState(state: PublishState): PostFilter['state'] {
  switch (state) {
    case PublishState.DRAFT:
      return 'draft';
    case PublishState.SCHEDULED:
      return 'scheduled';
    case PublishState.PUBLISHED:
      return 'published';
    default:
      return undefined;
  }
}
