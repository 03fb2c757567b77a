/**
 * A counter with two labels for what happens more often than anything else: it costs two look-ups, where prom-client sorts and joins
 * the labels into a key each time. prom-client renders it as one of its own.
 */
export class OutcomeCounter {
  readonly name: string;
  readonly help: string;
  readonly #labels: readonly [string, string];
  readonly #counts = new Map<string, Map<string, number>>();

  constructor(name: string, help: string, labels: readonly [string, string]) {
    this.name = name;
    this.help = help;
    this.#labels = labels;
  }

  /** @param values of the labels, in their order. */
  count(first: string, second: string): void {
    let counts = this.#counts.get(first);
    if (counts === undefined) {
      counts = new Map();
      this.#counts.set(first, counts);
    }
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }

  /** What prom-client's registry asks each of its metrics for. */
  async get() {
    const [a, b] = this.#labels;
    const values = [...this.#counts].flatMap(([first, counts]) =>
      [...counts].map(([second, value]) => ({ labels: { [a]: first, [b]: second }, value })),
    );
    return { name: this.name, help: this.help, type: 'counter', aggregator: 'sum', values };
  }

  /** Forgets all counts. */
  reset(): void {
    this.#counts.clear();
  }
}
