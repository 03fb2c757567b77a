/** A file that can't become a post: the message is the reason, as a person is to read it, and names the field at fault. */
export class PostFileError extends Error {
  override readonly name = 'PostFileError';
}
