/** A read as it goes out: by GET, or by POST with a body. */
export interface CanonicalRead {
    readonly url: string;
    readonly method: 'GET' | 'POST';
    readonly header: Headers;
    /** Of a POST. */
    readonly body?: Uint8Array<ArrayBuffer>;
}
/**
 * The most characters of a URL that is sent: the service refuses a longer one, and so do NGINX and others by default. It goes
 * by POST instead, which no cache answers.
 */
export declare const URL_MAX_LENGTH = 8192;
/**
 * Gives a read that connect-es is about to send by GET its canonical URL. connect-go makes the same URL, so a cache keeps one answer for
 * all clients that ask for the same in the same format. Parameters go by name, and text is escaped as a form's is, so that nothing is left
 * that a URL parser would escape once more.
 *
 * One that has to see a certain write goes by POST: caches would answer without asking, since they know nothing of that.
 *
 * @param url as connect-es makes it: `?connect=v1&base64=1&encoding=proto&message=…`.
 */
export declare function toCanonicalRead(url: string, header: Headers): CanonicalRead;
