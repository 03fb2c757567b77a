import type { Message } from '@bufbuild/protobuf';
import type { FieldMask } from '@bufbuild/protobuf/wkt';
import type { FieldViolation } from './errors.ts';
/** A broken rule, with one of the reasons that rules have. */
export interface RuleViolation extends FieldViolation {
    readonly reason: 'VALIDATION_FAILED' | 'INVALID_ORDER_BY' | 'INVALID_UPDATE_MASK';
}
/** The rules of `blog.v1` that its .proto files state in words, since no standard rule says them: which of them a message breaks. */
export declare function faultsBeyondProto(message: Message): RuleViolation[];
/** What is wrong with an `update_mask`; undefined: nothing. Output-only fields may be named. */
export declare function maskFault(mask: FieldMask | undefined): RuleViolation | undefined;
/** What is wrong with an `order_by` (AIP-132): it is one field, with ` desc` behind it for descending; empty for the default. */
export declare function orderFault(orderBy: string): RuleViolation | undefined;
/** Whether an update sets a field; without a mask it sets what is populated, which this does not look at. */
export declare function isNamed(mask: FieldMask | undefined, path: string): boolean;
