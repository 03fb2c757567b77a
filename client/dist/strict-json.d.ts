import { type DescMessage } from '@bufbuild/protobuf';
/**
 * Checks that a text is JSON of a message, as protobuf-go does before it takes it. `fromJson` of protobuf-es is less strict: it takes
 * dates that do not exist for others, and numbers that are none of JSON, such as "0x1".
 *
 * Fields that are not known are passed over, and so are names of enum values that are not known.
 *
 * @returns the value for `fromJson`.
 * @throws MalformedMessageError with the path of the first field at fault.
 */
export declare function checkJson(schema: DescMessage, text: string): unknown;
