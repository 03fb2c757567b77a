/** Walks over the tokens of a text that `JSON.parse` has accepted, so that its syntax is not looked at. */
export declare class JsonCursor {
    #private;
    constructor(text: string);
    /** The first character of the next token. */
    peek(): string;
    /** Passes over a token of one character. */
    advance(): void;
    /** Passes over what separates values; says whether the object or the array has another one. `advance` has passed its beginning. */
    hasNext(close: string): boolean;
    /** Reads a name and the colon behind it. */
    name(): string;
    /** Reads a string. */
    string(): string;
    /** Reads a number, `true`, `false` or `null`, as it is written. */
    word(): string;
}
