import { type Message } from '@bufbuild/protobuf';
import { type Interceptor } from '@connectrpc/connect';
import type { FieldViolation } from './errors.ts';
/** Checks messages of `blog.v1` against the rules that its .proto files state, as rules and in words. */
export interface PostValidator {
    /**
     * Every rule that the message breaks, in the order of its fields; none: the service takes it as well formed. The
     * message may come from either variant of the contract, with rules or without. One of another package has none here.
     */
    violations(message: Message): FieldViolation[];
}
/** Makes a validator. It compiles the rules of a message type when it first meets it (some 100 ms), so keep it. */
export declare function createPostValidator(): PostValidator;
/**
 * Refuses a request that breaks a rule before it is sent, with the error that the service would give: INVALID_ARGUMENT
 * with each field in a `google.rpc.BadRequest`. Saves the round trip; the service checks all the same, and tokens it alone can
 * check.
 */
export declare function validationInterceptor(validator?: PostValidator): Interceptor;
