import { type DescMessage } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
/** What the binary format says of a message type: its fields, by number. */
export type BinaryLayout = ReadonlyMap<number, FieldLayout>;
export interface FieldLayout {
    readonly number: number;
    /** As the .proto has it. */
    readonly name: string;
    /** Of each value; several numbers may stand in one record. */
    readonly wireType: WireType;
    readonly isPackable: boolean;
    readonly isRepeated: boolean;
    readonly isText: boolean;
    /** Of the message that it holds, or of a map's entries. */
    readonly message: BinaryLayout | undefined;
}
/** The layout of a message type, made when it is asked for first. */
export declare function layoutOf(schema: DescMessage): BinaryLayout;
