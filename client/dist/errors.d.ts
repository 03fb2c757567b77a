/** What went wrong, for a program to branch on. */
export interface ErrorInfo {
    /** Such as `SLUG_TAKEN`; each RPC's comment names its own. */
    readonly reason: string;
    /** Who gives the reason: `blog.v1.PostService`. */
    readonly domain: string;
    /** The values of the case, such as the slug. */
    readonly metadata: Readonly<Record<string, string>>;
}
/** A field of a request that broke a rule. */
export interface FieldViolation {
    /** The path in the request, such as `post.tags[2]`. */
    readonly field: string;
    /** What is wrong, in English, for a developer. */
    readonly description: string;
    /** What kind of fault it is, such as `VALIDATION_FAILED` or `INVALID_ORDER_BY`. */
    readonly reason: string;
}
/** A resource that the error is about. */
export interface Resource {
    readonly type: string;
    readonly name: string;
    readonly description: string;
}
/** Something that had to hold before the call and did not, or a limit that was reached. */
export interface Violation {
    /** Of what kind it is; empty for a limit. */
    readonly type: string;
    /** What it is about. */
    readonly subject: string;
    readonly description: string;
}
/**
 * The reason of a failed call. Undefined where the service gave none: the error came from elsewhere, such as a proxy, the
 * network, or the caller's own deadline. Takes anything that was caught.
 */
export declare function errorInfo(error: unknown): ErrorInfo | undefined;
/** The fields that broke a rule, in the order of the request's schema; empty where the error is not about fields. */
export declare function fieldViolations(error: unknown): FieldViolation[];
/**
 * How long to wait before the call is repeated, in milliseconds. Undefined where the server asked for no delay, and
 * then it is not said that a repetition helps.
 */
export declare function retryDelayMs(error: unknown): number | undefined;
/** The resources that the error is about, such as each absent post of a BatchGetPosts; empty where none is named. */
export declare function resources(error: unknown): Resource[];
/** What had to hold before the call and did not, such as an etag that is no longer current; empty where none is named. */
export declare function preconditionViolations(error: unknown): Violation[];
/** The limits that the call ran into; empty where none is named. */
export declare function quotaViolations(error: unknown): Violation[];
