import { create, type DescMessage, type Message } from '@bufbuild/protobuf';
import { createValidator, type Validator } from '@bufbuild/protovalidate';
import type { Interceptor } from '@connectrpc/connect';
import { violationsOf } from '#client/violations.ts';
import type { FieldFault } from '#src/posts/invalid-argument-error.ts';
import { invalidArgument } from '#src/rpc/error-mapping.ts';

/**
 * Checks requests against the rules of the .proto, those that it states in words too, all of them at once.
 *
 * The first check of a message type compiles its rules, which takes tens of milliseconds: `warm` does that beforehand.
 */
export class RequestValidator {
  readonly #validator: Validator = createValidator({ regexMatch: platformMatcher() });

  readonly #tokenFaults: (message: Message) => readonly FieldFault[];

  /** Frozen messages that keep the rules. */
  readonly #passed = new WeakSet<Message>();

  /**
   * @param tokenFaults what is wrong with the tokens of a request that breaks a rule: its handler, which opens them, never gets it,
   *   and the answer is to name every field.
   */
  constructor(tokenFaults: (message: Message) => readonly FieldFault[] = () => []) {
    this.#tokenFaults = tokenFaults;
  }

  /** Compiles the rules of these message types. */
  warm(types: readonly DescMessage[]): void {
    for (const type of types) violationsOf(this.#validator, type, create(type));
  }

  /**
   * Refuses a request that breaks a rule.
   *
   * @throws ConnectError INVALID_ARGUMENT, with each field and its limit.
   * @throws the validator's own error where a rule can't be compiled: our fault, not the client's.
   */
  readonly check: RequestCheck = (type, message) => {
    if (this.#passed.has(message)) return;
    const violations = violationsOf(this.#validator, type, message);
    if (violations.length === 0) {
      // It can't change, and the rules look at nothing but the message.
      if (Object.isFrozen(message)) this.#passed.add(message);
      return;
    }
    const named = new Set(violations.map(({ field }) => field));
    const ofTokens = this.#tokenFaults(message).filter(({ field }) => !named.has(field));
    throw invalidArgument('VALIDATION_FAILED', [...violations, ...ofTokens]);
  };
}

/** Throws where a message breaks a rule of its type. */
export type RequestCheck = (type: DescMessage, message: Message) => void;

/** The stage that validates requests: each message of a stream when it is read. */
export function validation(check: RequestCheck): Interceptor {
  return next => request => {
    if (request.stream) return next({ ...request, message: checkEach(request.method.input, request.message, check) });
    check(request.method.input, request.message);
    return next(request);
  };
}

async function* checkEach<M extends Message>(type: DescMessage, messages: AsyncIterable<M>, check: RequestCheck) {
  for await (const message of messages) {
    check(type, message);
    yield message;
  }
}

/**
 * The .proto's patterns are ours, and are simple enough for the platform's own expressions, which are three times as
 * fast as the validator's default. Each is compiled once.
 */
function platformMatcher(): (pattern: string, text: string) => boolean {
  const expressions = new Map<string, RegExp>();
  return (pattern, text) => {
    const expression = expressions.get(pattern) ?? new RegExp(pattern, 'u');
    expressions.set(pattern, expression);
    return expression.test(text);
  };
}
