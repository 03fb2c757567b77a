import type { DescMessage, Message } from '@bufbuild/protobuf';
import type { Validator } from '@bufbuild/protovalidate';
import { type RuleViolation } from './post-rules.ts';
/**
 * Every rule that a message breaks: first those that the .proto states, in the order of its fields, and then those that it states in
 * words alone, of fields that break no other. The service answers with these, and so does the client package.
 *
 * @param schema with the rules.
 * @throws the validator's own error where a rule can't be compiled: not the caller's fault, and not to be hidden.
 */
export declare function violationsOf(validator: Validator, schema: DescMessage, message: Message): RuleViolation[];
