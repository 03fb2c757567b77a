import { ScalarType } from '@bufbuild/protobuf';
/**
 * Whether a JSON number, or the text of one, is an integer of this type. An exponent and a fraction of zeros are allowed, such as in
 * `1e2` and `1.0`; exactly, without the detour over a double, as protobuf-go has it.
 */
export declare function isInteger(text: string, type: ScalarType): boolean;
/** Whether a text is a JSON number, or one of the three values that JSON has no number for. */
export declare function isFloat(text: string): boolean;
/**
 * Whether a text is base64 of one of the two alphabets, with all of its padding or without any (RFC 4648). Line breaks do not count.
 * Bits that are left over at the end may be other than 0.
 */
export declare function isBase64(text: string): boolean;
/**
 * What is wrong with a time (google.protobuf.Timestamp). It must be a time of RFC 3339 that exists, with capital T and Z and at most nine
 * decimals. It must have no leap second, and be within the years 1 to 9999 of UTC. Undefined: nothing.
 */
export declare function faultOfTime(text: string): string | undefined;
/** Whether a text is a google.protobuf.Duration: seconds with at most nine decimals, and `s` behind them. Its range is not looked at. */
export declare function isDuration(text: string): boolean;
/**
 * Whether a text is a google.protobuf.FieldMask: names of fields in lower camel case, separated by commas. `*` stands for all fields
 * (AIP-134, AIP-161), for which protobuf has no place, so that protobuf-go refuses it.
 */
export declare function isFieldMask(text: string): boolean;
