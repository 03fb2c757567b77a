import { createRegistry } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator } from '@bufbuild/protovalidate';
import { Code, ConnectError } from '@connectrpc/connect';
import { file_blog_v1_post } from './blog/v1/post_pb.js';
import { file_blog_v1_post_service } from './blog/v1/post_service_pb.js';
import { BadRequestSchema, ErrorInfoSchema } from './google/rpc/error_details_pb.js';
/** Makes a validator. It compiles the rules of a message type when it first meets it (some 100 ms), so keep it. */
export function createPostValidator() {
    const schemas = createRegistry(file_blog_v1_post, file_blog_v1_post_service);
    const validator = createValidator();
    return {
        violations(message) {
            const schema = schemas.getMessage(message.$typeName);
            if (!schema)
                return [];
            const result = validator.validate(schema, message);
            // The rules themselves are broken: not the caller's fault, and not to be hidden.
            if (result.kind === 'error')
                throw result.error;
            return (result.violations ?? []).map(({ field, message: description }) => ({
                field: pathToString(field),
                description,
                reason: REASON,
            }));
        },
    };
}
/**
 * Refuses a request that breaks a rule before it is sent, with the error that the service would give: INVALID_ARGUMENT
 * with the reason VALIDATION_FAILED and each field in a `google.rpc.BadRequest`. Saves the round trip; the service checks
 * all the same.
 */
export function validationInterceptor(validator = createPostValidator()) {
    const check = (message) => {
        const violations = validator.violations(message);
        if (violations.length > 0)
            throw validationError(violations);
        return message;
    };
    return next => async (request) => {
        if (request.stream)
            return next({ ...request, message: mapEach(request.message, check) });
        check(request.message);
        return next(request);
    };
}
const REASON = 'VALIDATION_FAILED';
/** Word for word what the service answers; a test holds the two together. */
function validationError(violations) {
    const text = violations.map(({ field, description }) => `${field}: ${description}`).join('; ');
    const metadata = {
        field: violations
            .map(({ field }) => field)
            .join(',')
            .slice(0, 256),
    };
    return new ConnectError(text.slice(0, 2048), Code.InvalidArgument, undefined, [
        { desc: ErrorInfoSchema, value: { reason: REASON, domain: 'blog.v1.PostService', metadata } },
        { desc: BadRequestSchema, value: { fieldViolations: [...violations] } },
    ]);
}
async function* mapEach(source, map) {
    for await (const item of source)
        yield map(item);
}
