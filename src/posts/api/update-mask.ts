import type { FieldMask } from '@bufbuild/protobuf/wkt';
import { maskFault } from '#client/post-rules.ts';
import { InvalidArgumentError, invalidField } from '#src/posts/invalid-argument-error.ts';
import { type AuthoredField, type AuthoredFields, authoredFields } from '#src/posts/post.ts';

/**
 * The fields that an update sets. An empty slug means: derive it from the title again.
 *
 * @param content the fields of the request's post.
 * @throws InvalidArgumentError for a bad mask, an empty title, or an empty slug without the title.
 */
export function toChanges(mask: FieldMask | undefined, content: AuthoredFields): Partial<AuthoredFields> {
  const fields = fieldsToUpdate(mask, content);
  const changes = Object.fromEntries([...fields].map(field => [field, content[field]])) as Partial<AuthoredFields>;
  if (changes.title === '') throw invalidField('post.title', "can't be cleared: every post has a title");
  if (changes.slug === '' && changes.title === undefined)
    throw invalidField('post.slug', "can't be cleared without the title to derive it from");
  return changes;
}

/**
 * The fields that an update names (AIP-134, AIP-161): those of the mask, all for `*`, the populated ones without a mask.
 * Output-only fields are ignored.
 *
 * @throws InvalidArgumentError for a path that names no field of a post, and for `*` beside other paths.
 */
export function fieldsToUpdate(mask: FieldMask | undefined, content: AuthoredFields): Set<AuthoredField> {
  const fields = new Set(FIELDS.values());
  if (mask === undefined) return new Set([...fields].filter(field => isPopulated(content[field])));
  const fault = maskFault(mask);
  if (fault !== undefined) throw new InvalidArgumentError(fault.reason, fault);
  if (mask.paths.includes('*')) return fields;
  return new Set(mask.paths.flatMap(path => FIELDS.get(path) ?? []));
}

/** The fields that a mask's paths name. A path is the field's name in the .proto. */
const FIELDS: ReadonlyMap<string, AuthoredField> = new Map(authoredFields.map(([name, { column }]) => [column, name]));

function isPopulated(value: AuthoredFields[AuthoredField]): boolean {
  return value instanceof Date || (value !== undefined && value.length > 0);
}
