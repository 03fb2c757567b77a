/** Bytes, or JSON, that are no message of the expected type. */
export declare class MalformedMessageError extends Error {
    readonly name = "MalformedMessageError";
    /** The path of the field at fault as the .proto names it, such as `requests[3].post.publish_time`; empty: the message as a whole. */
    readonly field: string;
    /** What is wrong with it, without the field's name. */
    readonly description: string;
    constructor(field: string, description: string, options?: ErrorOptions);
}
/** The path of a field inside of a message: `post` and `tags[1]` make `post.tags[1]`. */
export declare function joinPath(path: readonly (string | number)[]): string;
