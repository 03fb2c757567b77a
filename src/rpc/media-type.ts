/** The format of a POST's body, by its content type. */
export interface Format {
  readonly protocol: 'connect' | 'connect-stream' | 'grpc' | 'grpc-web';
  /** Whether messages are binary protobuf. Otherwise they are JSON. */
  readonly binary: boolean;
  /** The content type in the spelling of libraries: lower case, without parameters. */
  readonly type: string;
}

/**
 * Reads a content type (RFC 9110, 8.3.1). Case, white space and parameters do not matter: JSON is always UTF-8 (RFC 8259, 8.1 and 11), and
 * protobuf has no parameters.
 *
 * @returns undefined for a type that no RPC accepts.
 */
export function formatOf(contentType: string | undefined): Format | undefined {
  if (contentType === undefined) return undefined;
  // Common types are found without a copy.
  return FORMATS.get(contentType) ?? FORMATS.get(essenceOf(contentType));
}

/** A content type without its parameters, in lower case. */
export function essenceOf(contentType: string): string {
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

const FORMATS: ReadonlyMap<string, Format> = new Map(
  (
    [
      ['connect', 'application/proto', true],
      ['connect', 'application/json', false],
      ['connect-stream', 'application/connect+proto', true],
      ['connect-stream', 'application/connect+json', false],
      ['grpc', 'application/grpc', true],
      ['grpc', 'application/grpc+proto', true],
      ['grpc', 'application/grpc+json', false],
      ['grpc-web', 'application/grpc-web', true],
      ['grpc-web', 'application/grpc-web+proto', true],
      ['grpc-web', 'application/grpc-web+json', false],
    ] as const
  ).map(([protocol, type, binary]) => [type, Object.freeze({ protocol, binary, type })]),
);
