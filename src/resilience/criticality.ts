/**
 * The criticality of a call, from the most to the least critical. Under overload the least critical calls are refused first. The names and
 * their meaning are from "Site Reliability Engineering", chapter 21 (https://sre.google/sre-book/handling-overload/).
 */
export const CRITICALITIES = ['critical-plus', 'critical', 'sheddable-plus', 'sheddable'] as const;

/** The default is `critical`: a person waits for the answer. `sheddable` is for batches that retry later. */
export type Criticality = (typeof CRITICALITIES)[number];

export const DEFAULT_CRITICALITY: Criticality = 'critical';

/** The header field, or gRPC metadata, with the criticality. */
export const CRITICALITY_FIELD = 'x-criticality';

/** Reads the field. A missing or unknown value is the default, because no call is refused for it. */
export function parseCriticality(text: string | null | undefined): Criticality {
  return CRITICALITIES.find(name => name === text) ?? DEFAULT_CRITICALITY;
}
