import type { DescMessage, Message } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import type { Validator } from '@bufbuild/protovalidate';
import { PostSchema } from '../../gen/blog/v1/post_pb.js';
import type { UpdatePostRequest } from '../../gen/blog/v1/post_service_pb.js';
import { faultsBeyondProto, isNamed, type RuleViolation } from './post-rules.ts';

/**
 * Every rule that a message breaks: first the rules of the .proto, in the order of its fields, then those that it states in words, for
 * fields that break no other. The service and the client package both use it.
 *
 * @param schema with the rules.
 * @throws the validator's own error if a rule cannot be compiled, which is not the caller's fault.
 */
export function violationsOf(validator: Validator, schema: DescMessage, message: Message): RuleViolation[] {
  const stated = statedViolations(validator, schema, message, '');
  if (message.$typeName === 'blog.v1.UpdatePostRequest') {
    stated.push(...updateViolations(validator, message as UpdatePostRequest));
  }
  const others = faultsBeyondProto(message);
  if (stated.length === 0) return others;
  const named = new Set(stated.map(({ field }) => field));
  return [...stated, ...others.filter(({ field }) => !named.has(field))];
}

/** An update that does not set the title need not have one. */
function updateViolations(validator: Validator, { post, updateMask }: UpdatePostRequest): RuleViolation[] {
  if (post === undefined) return [];
  const violations = statedViolations(validator, PostSchema, post, 'post.');
  if (post.title !== '' || isNamed(updateMask, 'title')) return violations;
  return violations.filter(({ field }) => field !== 'post.title');
}

function statedViolations(validator: Validator, schema: DescMessage, message: Message, place: string): RuleViolation[] {
  const result = validator.validate(schema, message);
  if (result.kind === 'error') throw result.error;
  return (result.violations ?? []).map(({ field, message: description }) => ({
    field: `${place}${pathToString(field)}`,
    description,
    reason: 'VALIDATION_FAILED',
  }));
}
