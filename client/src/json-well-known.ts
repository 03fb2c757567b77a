import { ScalarType } from '@bufbuild/protobuf';
import { faultOfTime, isDuration, isFieldMask } from './json-values.ts';

/** What is wrong with the string that stands for a message; undefined: nothing. */
export type WellKnown = ((text: string) => string | undefined) | 'any value';

/** The one message that JSON writes as null. */
export const VALUE = 'google.protobuf.Value';
/** The one enum that JSON writes as null. */
export const NULL_VALUE = 'google.protobuf.NullValue';

/** Messages with their own form in JSON. */
export const WELL_KNOWN: ReadonlyMap<string, WellKnown> = new Map<string, WellKnown>([
  ['google.protobuf.Timestamp', faultOfTime],
  [
    'google.protobuf.Duration',
    text => (isDuration(text) ? undefined : 'must be seconds such as "1.5s", with at most nine decimals'),
  ],
  [
    'google.protobuf.FieldMask',
    text =>
      isFieldMask(text) ? undefined : 'must be names of fields in lower camel case, with commas between, or "*"',
  ],
  ['google.protobuf.Any', 'any value'],
  ['google.protobuf.Struct', 'any value'],
  ['google.protobuf.ListValue', 'any value'],
  [VALUE, 'any value'],
]);

/** Messages that JSON writes as the one value that they hold. */
export const WRAPPERS: ReadonlyMap<string, ScalarType> = new Map([
  ['google.protobuf.DoubleValue', ScalarType.DOUBLE],
  ['google.protobuf.FloatValue', ScalarType.FLOAT],
  ['google.protobuf.Int64Value', ScalarType.INT64],
  ['google.protobuf.UInt64Value', ScalarType.UINT64],
  ['google.protobuf.Int32Value', ScalarType.INT32],
  ['google.protobuf.UInt32Value', ScalarType.UINT32],
  ['google.protobuf.BoolValue', ScalarType.BOOL],
  ['google.protobuf.StringValue', ScalarType.STRING],
  ['google.protobuf.BytesValue', ScalarType.BYTES],
]);
