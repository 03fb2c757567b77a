import { orderFault } from '#client/post-rules.ts';
import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import type { PostOrder } from '#src/posts/post-store.ts';

/**
 * Parses `order_by` (AIP-132): one field, with ` desc` behind it for descending. Spaces around and between do not count.
 *
 * @returns the order; for an empty text the newest first.
 * @throws InvalidArgumentError for anything else.
 */
export function parseOrder(orderBy: string): PostOrder {
  const fault = orderFault(orderBy);
  if (fault !== undefined) throw new InvalidArgumentError(fault.reason, fault);
  const [name = '', direction] = orderBy.trim().split(/\s+/);
  const by = ORDERS[name];
  return by === undefined ? { by: 'createTime', descending: true } : { by, descending: direction === 'desc' };
}

const ORDERS: Readonly<Record<string, PostOrder['by']>> = Object.assign(Object.create(null), {
  create_time: 'createTime',
  update_time: 'updateTime',
  publish_time: 'publishTime',
});
