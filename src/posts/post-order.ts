import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import type { PostOrder } from '#src/posts/post-store.ts';

/**
 * Parses `order_by` (AIP-132): one field, with ` desc` behind it for descending. Spaces around and between do not count.
 *
 * @returns the order; for an empty text the newest first.
 * @throws InvalidArgumentError for anything else.
 */
export function parseOrder(orderBy: string): PostOrder {
  const [name, direction, ...rest] = orderBy.trim().split(/\s+/);
  if (name === undefined || name === '') return { by: 'createTime', descending: true };
  const by = ORDERS[name];
  if (by === undefined || (direction !== undefined && direction !== 'desc') || rest.length > 0) {
    throw new InvalidArgumentError('INVALID_ORDER_BY', {
      field: 'order_by',
      description: `is none of ${Object.keys(ORDERS).join(', ')}, each with an optional ' desc' behind it`,
    });
  }
  return { by, descending: direction === 'desc' };
}

const ORDERS: Readonly<Record<string, PostOrder['by']>> = Object.assign(Object.create(null), {
  create_time: 'createTime',
  update_time: 'updateTime',
  publish_time: 'publishTime',
});
