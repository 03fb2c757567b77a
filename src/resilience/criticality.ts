/**
 * How much a call matters, from the most to the least: under overload the least is refused first. The names, and what they mean, are
 * those of "Site Reliability Engineering", chapter 21 (https://sre.google/sre-book/handling-overload/).
 */
export const CRITICALITIES = ['critical-plus', 'critical', 'sheddable-plus', 'sheddable'] as const;

/** `critical` is what a call is that says nothing: a person waits for it. `sheddable` is for batches that try again later. */
export type Criticality = (typeof CRITICALITIES)[number];

export const DEFAULT_CRITICALITY: Criticality = 'critical';

/** The field of a request's header, or gRPC metadata, that says it. */
export const CRITICALITY_FIELD = 'x-criticality';

/** What the field says; what it doesn't, and what is no such word, is the default: nobody is refused for it. */
export function parseCriticality(text: string | null | undefined): Criticality {
  return CRITICALITIES.find(name => name === text) ?? DEFAULT_CRITICALITY;
}
