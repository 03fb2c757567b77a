import type { Message } from '@bufbuild/protobuf';
import type { FieldMask, Timestamp } from '@bufbuild/protobuf/wkt';
import type { Post } from '../../gen/blog/v1/post_pb.js';
import type {
  BatchCreatePostsRequest,
  CreatePostRequest,
  ListPostsRequest,
  UpdatePostRequest,
} from '../../gen/blog/v1/post_service_pb.js';
import type { FieldViolation } from './errors.ts';

/** A broken rule, with one of the reasons that rules have. */
export interface RuleViolation extends FieldViolation {
  readonly reason: 'VALIDATION_FAILED' | 'INVALID_ORDER_BY' | 'INVALID_UPDATE_MASK';
}

/** Checks the rules of `blog.v1` that its .proto files state in words, because no standard rule can. @returns those that are broken. */
export function faultsBeyondProto(message: Message): RuleViolation[] {
  switch (message.$typeName) {
    case 'blog.v1.Post':
      return postFaults(message as Post, '');
    case 'blog.v1.CreatePostRequest':
      return postFaults((message as CreatePostRequest).post, 'post.');
    case 'blog.v1.BatchCreatePostsRequest':
      return batchFaults(message as BatchCreatePostsRequest);
    case 'blog.v1.UpdatePostRequest':
      return updateFaults(message as UpdatePostRequest);
    case 'blog.v1.ListPostsRequest':
      return present(orderFault((message as ListPostsRequest).orderBy));
    default:
      return [];
  }
}

/** What is wrong with an `update_mask`; undefined: nothing. Output-only fields may be named. */
export function maskFault(mask: FieldMask | undefined): RuleViolation | undefined {
  const paths = mask?.paths ?? [];
  const fault = (description: string) => ({
    field: 'update_mask',
    description,
    reason: 'INVALID_UPDATE_MASK' as const,
  });
  if (paths.includes('*') && paths.length > 1) return fault("has '*' beside other paths: '*' means all of them");
  const unknown = paths.filter(path => path !== '*' && !SETTABLE.includes(path) && !OUTPUT_ONLY.includes(path));
  if (unknown.length === 0) return undefined;
  const named = unknown.slice(0, NAMED_PATHS_MAX).map(path => `'${path.slice(0, 64)}'`);
  return fault(`has the path ${named.join(', ')}, which must be one of ${SETTABLE.join(', ')}, or * for all`);
}

/** What is wrong with an `order_by` (AIP-132). It must be one field, with ` desc` after it for descending, or empty for the default. */
export function orderFault(orderBy: string): RuleViolation | undefined {
  const [name, direction, ...rest] = orderBy.trim().split(/\s+/);
  if (name === undefined || name === '') return undefined;
  if (ORDERS.includes(name) && (direction ?? 'desc') === 'desc' && rest.length === 0) return undefined;
  const description = `must be one of ${ORDERS.join(', ')}, with an optional ' desc' after it`;
  return { field: 'order_by', description, reason: 'INVALID_ORDER_BY' };
}

/** Whether a mask names a field. Without a mask an update sets what is populated, which this does not check. */
export function isNamed(mask: FieldMask | undefined, path: string): boolean {
  return mask !== undefined && (mask.paths.includes(path) || mask.paths.includes('*'));
}

function updateFaults({ post, updateMask }: UpdatePostRequest): RuleViolation[] {
  if (post === undefined) return [invalid('post', REQUIRED), ...present(maskFault(updateMask))];
  const faults = postFaults(post, 'post.');
  if (post.id === '') faults.unshift(invalid('post.id', REQUIRED));
  const isSlugCleared = post.slug === '' && isNamed(updateMask, 'slug');
  if (isSlugCleared && !isNamed(updateMask, 'title')) {
    faults.push(invalid('post.slug', "can't be cleared without the title to derive it from"));
  }
  return [...faults, ...present(maskFault(updateMask))];
}

function batchFaults({ requests }: BatchCreatePostsRequest): RuleViolation[] {
  const isTried = requests.some(request => request.validateOnly);
  const requestIds = new Set<string>();
  return requests.flatMap(({ post, requestId, validateOnly }, index) => {
    const place = `requests[${index}].`;
    const faults = postFaults(post, `${place}post.`);
    const id = requestId.toLowerCase();
    if (requestIds.has(id)) {
      faults.push(invalid(`${place}request_id`, 'is that of another request of the batch'));
    }
    if (id !== '') requestIds.add(id);
    if (validateOnly !== isTried) {
      const description = 'differs from that of other requests of the batch, which is tried or done as a whole';
      faults.push(invalid(`${place}validate_only`, description));
    }
    return faults;
  });
}

function postFaults(post: Post | undefined, place: string): RuleViolation[] {
  if (post === undefined) return [];
  const faults: RuleViolation[] = [];
  for (const name of TEXTS) if (hasSurrogate(post[name])) faults.push(invalid(`${place}${name}`, SURROGATE_FAULT));
  for (const [index, tag] of post.tags.entries()) {
    if (hasSurrogate(tag)) faults.push(invalid(`${place}tags[${index}]`, SURROGATE_FAULT));
  }
  if (post.publishTime !== undefined && !isTime(post.publishTime)) {
    const description = 'is not between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z';
    faults.push(invalid(`${place}publish_time`, description));
  }
  return faults;
}

/** The range of google.protobuf.Timestamp. */
function isTime({ seconds, nanos }: Timestamp): boolean {
  return seconds >= -62_135_596_800n && seconds <= 253_402_300_799n && nanos >= 0 && nanos <= 999_999_999;
}

/** Programs can make text with half of a surrogate pair, which no UTF-8 can hold. */
function hasSurrogate(text: string & { isWellFormed?(): boolean }): boolean {
  // Browsers have it since 2023; an expression takes far longer.
  return text.isWellFormed === undefined ? /\p{Surrogate}/u.test(text) : !text.isWellFormed();
}

function present(fault: RuleViolation | undefined): RuleViolation[] {
  return fault === undefined ? [] : [fault];
}

function invalid(field: string, description: string): RuleViolation {
  return { field, description, reason: 'VALIDATION_FAILED' };
}

/** In the words of the rule. */
const REQUIRED = 'value is required';
const SURROGATE_FAULT = 'must be Unicode text, and has an unpaired surrogate';
const TEXTS = ['slug', 'title', 'content', 'author'] as const;
/** The paths of a mask, as they stand in the .proto. */
const SETTABLE: readonly string[] = [...TEXTS, 'tags', 'publish_time'];
const OUTPUT_ONLY = ['id', 'create_time', 'update_time', 'delete_time', 'purge_time', 'etag'];
const ORDERS = ['create_time', 'update_time', 'publish_time'];
const NAMED_PATHS_MAX = 5;
