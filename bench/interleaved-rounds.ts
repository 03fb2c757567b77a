import { type Quartiles, quartiles } from './quartiles.ts';

/** What one arm of a comparison took. */
export interface Measured {
  /** Milliseconds a call, over the rounds; a round's value is the mean of its calls. */
  readonly ms: Quartiles;
  /** What each round took, as a multiple of what the first arm took in the same round. */
  readonly ratio: Quartiles;
}

/**
 * Measures what calls take, against each other, on a machine that does other things too. Every round runs each arm once, in an order that
 * rotates, so that what disturbs the machine for a while disturbs all of them.
 *
 * @param arms by name; the first one is what the others are compared with. Give it twice to see the noise (A/A).
 * @param options.calls that an arm makes in a round, one after the other.
 */
export async function measureInterleaved<Name extends string>(
  arms: Readonly<Record<Name, () => Promise<unknown>>>,
  options: { readonly rounds: number; readonly calls: number },
): Promise<Record<Name, Measured>> {
  const names = Object.keys(arms) as Name[];
  const rounds = new Map(names.map(name => [name, [] as number[]]));
  // The first round is the warm-up, and does not count.
  for (let round = -1; round < options.rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(round + 1 + turn) % names.length] as Name;
      const begin = performance.now();
      for (let call = 0; call < options.calls; call++) await arms[name]();
      if (round >= 0) rounds.get(name)?.push((performance.now() - begin) / options.calls);
    }
  }
  const first = rounds.get(names[0] as Name) ?? [];
  const measured = names.map(name => {
    const values = rounds.get(name) ?? [];
    return [name, { ms: quartiles(values), ratio: quartiles(values.map((ms, i) => ms / (first[i] ?? Number.NaN))) }];
  });
  return Object.fromEntries(measured);
}
