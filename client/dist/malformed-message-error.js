/** Bytes, or JSON, that are no message of the expected type. */
export class MalformedMessageError extends Error {
    name = 'MalformedMessageError';
    /** The path of the field at fault as the .proto names it, such as `requests[3].post.publish_time`; empty: the message as a whole. */
    field;
    /** What is wrong with it, without the field's name. */
    description;
    constructor(field, description, options) {
        super(field === '' ? `the message ${description}` : `${field}: ${description}`, options);
        this.field = field;
        this.description = description;
    }
}
/** The path of a field inside of a message: `post` and `tags[1]` make `post.tags[1]`. */
export function joinPath(path) {
    return path.reduce((text, part) => {
        if (typeof part === 'number')
            return `${text}[${part}]`;
        return text === '' ? part : `${text}.${part}`;
    }, '');
}
