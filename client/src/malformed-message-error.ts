/** The bytes or the JSON are not a message of the expected type. */
export class MalformedMessageError extends Error {
  override readonly name = 'MalformedMessageError';
  /** The path of the field at fault as the .proto names it, such as `requests[3].post.publish_time`; empty: the message as a whole. */
  readonly field: string;
  /** What is wrong with it, without the field's name. */
  readonly description: string;

  constructor(field: string, description: string, options?: ErrorOptions) {
    super(field === '' ? `the message ${description}` : `${field}: ${description}`, options);
    this.field = field;
    this.description = description;
  }
}

/** The path of a field inside of a message: `post` and `tags[1]` make `post.tags[1]`. */
export function joinPath(path: readonly (string | number)[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');
}
