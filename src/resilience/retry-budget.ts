/**
 * Limits retries to a share of the calls, so that they never multiply the load on a failing dependency. Each call adds a part of a token to a
 * bucket, and each retry takes a whole token.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #burst: number;
  #tokens: number;

  /**
   * @param options.share of the calls that may be retried. Default: a tenth, as "Site Reliability Engineering" recommends.
   * @param options.burst the most retries at once. Default: 100, as many calls as a busy service loses with a connection.
   */
  constructor({ share = 0.1, burst = 100 } = {}) {
    this.#share = share;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** A call begins that is not a retry. */
  called(): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + this.#share);
  }

  /** Whether a call may be retried. If so, it takes the token. */
  mayRetry(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
