import type { FieldMask } from '@bufbuild/protobuf/wkt';
import { maskFault } from '#client/post-rules.ts';
import { InvalidArgumentError, invalidField } from '#src/posts/invalid-argument-error.ts';
import type { PostFields } from '#src/posts/post.ts';

/**
 * What an update sets. A slug that is empty is to be derived from the title again.
 *
 * @param content the fields of the request's post.
 * @throws InvalidArgumentError for a bad mask, an empty title, and a cleared slug without the title.
 */
export function toChanges(mask: FieldMask | undefined, content: PostFields): Partial<PostFields> {
  const fields = fieldsToUpdate(mask, content);
  const changes = Object.fromEntries([...fields].map(field => [field, content[field]])) as Partial<PostFields>;
  if (changes.title === '') throw invalidField('post.title', "can't be cleared: every post has a title");
  if (changes.slug === '' && changes.title === undefined)
    throw invalidField('post.slug', "can't be cleared without the title to derive it from");
  return changes;
}

/**
 * Which fields an update sets (AIP-134, AIP-161): those that the mask names, all of them for `*`, and those that are
 * populated where there is no mask. Output-only fields are passed over.
 *
 * @throws InvalidArgumentError for a path that is no field of a post, and for `*` beside other paths.
 */
export function fieldsToUpdate(mask: FieldMask | undefined, content: PostFields): Set<keyof PostFields> {
  const fields = new Set(Object.values(FIELDS));
  if (mask === undefined) return new Set([...fields].filter(field => isPopulated(content[field])));
  const fault = maskFault(mask);
  if (fault !== undefined) throw new InvalidArgumentError(fault.reason, fault);
  if (mask.paths.includes('*')) return fields;
  return new Set(mask.paths.flatMap(path => FIELDS[path] ?? []));
}

/** The paths of a mask, as they stand in the .proto, and the fields that they name. */
const FIELDS: Readonly<Record<string, keyof PostFields>> = Object.assign(Object.create(null), {
  slug: 'slug',
  title: 'title',
  content: 'content',
  author: 'author',
  tags: 'tags',
  publish_time: 'publishTime',
});

function isPopulated(value: PostFields[keyof PostFields]): boolean {
  return value instanceof Date || (value !== undefined && value.length > 0);
}
