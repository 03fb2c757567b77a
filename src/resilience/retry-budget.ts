/**
 * Bounds retries to a share of the calls, so that they never multiply the load on what fails already. Each call puts a part of a token
 * into a bucket, each retry takes a whole one.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #burst: number;
  #tokens: number;

  /**
   * @param options.share of the calls that may be retried. Default: a tenth, as SRE has it.
   * @param options.burst how many retries may come at once. Default: 100, as many as calls of a busy service meet a lost connection.
   */
  constructor({ share = 0.1, burst = 100 } = {}) {
    this.#share = share;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** A call begins, which is no retry. */
  called(): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + this.#share);
  }

  /** Whether a call may be retried; the retry is paid for then. */
  mayRetry(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
