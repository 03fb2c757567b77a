/** A fault of a request: the field's path, such as `post.slug`, and what is wrong, with the limit. */
export interface FieldFault {
  readonly field: string;
  readonly description: string;
  /** Default: the error's reason. */
  readonly reason?: InvalidArgumentReason;
}

/** A field's value breaks a rule. The reason is that of the .proto's own rules. */
export function invalidField(field: string, description: string): InvalidArgumentError {
  return new InvalidArgumentError('VALIDATION_FAILED', { field, description });
}

/** The request breaks a rule that the .proto's validation rules do not express. */
export class InvalidArgumentError extends Error {
  override readonly name = 'InvalidArgumentError';
  /** UPPER_SNAKE, for a client to branch on. */
  readonly reason: InvalidArgumentReason;
  readonly faults: readonly FieldFault[];

  constructor(reason: InvalidArgumentReason, ...faults: readonly FieldFault[]) {
    super(faults.map(({ field, description }) => `${field}: ${description}`).join('; '));
    this.reason = reason;
    this.faults = faults;
  }
}

export type InvalidArgumentReason =
  | 'VALIDATION_FAILED'
  | 'INVALID_UPDATE_MASK'
  | 'INVALID_ORDER_BY'
  | 'INVALID_PAGE_TOKEN'
  | 'INVALID_RESUME_TOKEN'
  | 'INVALID_CONSISTENCY_TOKEN';
