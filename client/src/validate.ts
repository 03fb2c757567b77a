import { createRegistry, type Message } from '@bufbuild/protobuf';
import { createValidator } from '@bufbuild/protovalidate';
import { Code, ConnectError, type Interceptor } from '@connectrpc/connect';
import { file_blog_v1_post } from '../../gen/blog/v1/post_pb.js';
import { file_blog_v1_post_service } from '../../gen/blog/v1/post_service_pb.js';
import { BadRequestSchema, ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import type { FieldViolation } from './errors.ts';
import { violationsOf } from './violations.ts';

/** Checks messages of `blog.v1` against the rules that its .proto files state, as rules and in words. */
export interface PostValidator {
  /**
   * Every rule that the message breaks, in the order of its fields. The message may be of either variant of the contract, with rules or
   * without. A message of another package has no rules here.
   */
  violations(message: Message): FieldViolation[];
}

/** Makes a validator. It compiles the rules of a message type when it first meets it (some 100 ms), so keep it. */
export function createPostValidator(): PostValidator {
  const schemas = createRegistry(file_blog_v1_post, file_blog_v1_post_service);
  const validator = createValidator();
  return {
    violations(message) {
      const schema = schemas.getMessage(message.$typeName);
      return schema === undefined ? [] : violationsOf(validator, schema, message);
    },
  };
}

/**
 * Refuses a request that breaks a rule before it is sent. The error is the service's: INVALID_ARGUMENT with each field in a
 * `google.rpc.BadRequest`. That saves the round trip. The service checks again, and it alone can check tokens.
 */
export function validationInterceptor(validator: PostValidator = createPostValidator()): Interceptor {
  const check = <M extends Message>(message: M): M => {
    const violations = validator.violations(message);
    if (violations.length > 0) throw validationError(violations);
    return message;
  };
  return next => async request => {
    if (request.stream) return next({ ...request, message: mapEach(request.message, check) });
    check(request.message);
    return next(request);
  };
}

/** The service's own words; a test compares the two. */
function validationError(all: readonly FieldViolation[]): ConnectError {
  const violations = all.slice(0, NAMED_MAX);
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join('; ');
  const [{ reason = '' } = {}, ...others] = violations;
  const isOne = others.every(other => other.reason === reason);
  const metadata = { field: cut(violations.map(({ field }) => field).join(','), 256) };
  return new ConnectError(cut(text, 512), Code.InvalidArgument, undefined, [
    {
      desc: ErrorInfoSchema,
      value: { reason: isOne ? reason : 'VALIDATION_FAILED', domain: 'blog.v1.PostService', metadata },
    },
    { desc: BadRequestSchema, value: { fieldViolations: violations } },
  ]);
}

/** A cut may leave an unpaired surrogate. */
function cut(text: string, max: number): string {
  return text.slice(0, max).replace(/\p{Surrogate}/gu, '\ufffd');
}

async function* mapEach<T>(source: AsyncIterable<T>, map: (item: T) => T): AsyncGenerator<T> {
  for await (const item of source) yield map(item);
}

/** The service names as many. */
const NAMED_MAX = 20;
