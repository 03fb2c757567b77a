import { ScalarType } from '@bufbuild/protobuf';
/** What is wrong with the string that stands for a message; undefined: nothing. */
export type WellKnown = ((text: string) => string | undefined) | 'any value';
/** The one message that a null stands for. */
export declare const VALUE = "google.protobuf.Value";
/** And the one enum. */
export declare const NULL_VALUE = "google.protobuf.NullValue";
/** Messages that JSON has a form of their own for. */
export declare const WELL_KNOWN: ReadonlyMap<string, WellKnown>;
/** Messages that stand for one value, which JSON has in their place. */
export declare const WRAPPERS: ReadonlyMap<string, ScalarType>;
