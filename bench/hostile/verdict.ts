/** A figure that an attack led to, and what it had to be. */
export interface Verdict {
  /** Of the attack, such as `H4`. */
  readonly id: string;
  readonly attack: string;
  readonly figure: string;
  readonly target: string;
  readonly isMet: boolean;
}
