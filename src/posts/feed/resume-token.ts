import { Snapshot } from '#src/db/snapshot.ts';
import type { PostChangePosition } from '#src/posts/feed/post-change-position.ts';
import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import { TokenSealer } from '#src/posts/tokens/sealed-token.ts';

/**
 * Makes and reads resume tokens: positions in the feed. They are valid on every instance with the same secret, as long as the following
 * changes are kept.
 */
export class ResumeTokens {
  readonly #sealer: TokenSealer;

  /** @param secret 32 characters or more, the same on every instance. */
  constructor(secret: string) {
    this.#sealer = new TokenSealer(secret, 'postservice resume token v1');
  }

  /** The token of a position. */
  seal({ from, to, afterId = 0n, proof }: PostChangePosition): string {
    const proved = proof === undefined ? [] : [proof.id, proof.digest, proof.recent.join(',')];
    return this.#sealer.seal(Buffer.from([from.text, to?.text ?? '', afterId, ...proved].join(' ')));
  }

  /**
   * The position of a token.
   *
   * @throws InvalidArgumentError if it was altered, or made with another secret.
   */
  open(token: string): PostChangePosition {
    const plain = this.#sealer.open(token);
    if (plain === undefined) {
      throw new InvalidArgumentError('INVALID_RESUME_TOKEN', {
        field: 'resume_token',
        description: 'is no token of this service: send the one of a response unaltered',
      });
    }
    const [from, to, afterId, id, digest, recent = ''] = plain.toString().split(' ') as [
      string,
      string,
      string,
      ...string[],
    ];
    return {
      from: new Snapshot(from),
      to: to === '' ? undefined : new Snapshot(to),
      afterId: BigInt(afterId),
      // Tokens of the previous release have none.
      proof:
        id === undefined || digest === undefined
          ? undefined
          : { id: BigInt(id), digest, recent: recent === '' ? [] : recent.split(',').map(BigInt) },
    };
  }
}
