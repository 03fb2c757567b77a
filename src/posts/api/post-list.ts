import { orderFault } from '#client/post-rules.ts';
import { PostView, PublishState } from '#gen/blog/v1/post_pb.js';
import type { ListPostsRequest } from '#gen/blog/v1/post_service_pb.js';
import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import type { PostFilter, PostOrder } from '#src/posts/post-store.ts';

/** The filter of a list. An empty text does not filter. */
export function toPostFilter({ author, tag, publishState, showDeleted }: ListPostsRequest): PostFilter {
  return { author: author || undefined, tag: tag || undefined, state: toState(publishState), showDeleted };
}

/** Whether a view has the posts' content. */
export function hasContent(view: PostView): boolean {
  return view === PostView.FULL;
}

/**
 * Parses `order_by` (AIP-132): one field, followed by ` desc` for descending order. Extra spaces are ignored.
 *
 * @returns the order; newest first for an empty text.
 * @throws InvalidArgumentError for anything else.
 */
export function parseOrder(orderBy: string): PostOrder {
  const fault = orderFault(orderBy);
  if (fault !== undefined) throw new InvalidArgumentError(fault.reason, fault);
  const [name = '', direction] = orderBy.trim().split(/\s+/);
  const by = ORDERS[name];
  return by === undefined ? { by: 'createTime', descending: true } : { by, descending: direction === 'desc' };
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

const ORDERS: Readonly<Record<string, PostOrder['by']>> = Object.assign(Object.create(null), {
  create_time: 'createTime',
  update_time: 'updateTime',
  publish_time: 'publishTime',
});
