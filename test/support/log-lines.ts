/** A destination for a logger that keeps each line, parsed, and lets a test wait for one. */
export class LogLines {
  readonly lines: Record<string, unknown>[] = [];
  readonly #waiting: { matches: (line: Record<string, unknown>) => boolean; found: (line: never) => void }[] = [];

  /** Called by the logger. Throws where a line is not one JSON object. */
  write(text: string): void {
    if (!text.endsWith('\n') || text.indexOf('\n') !== text.length - 1) throw new Error(`not one line: ${text}`);
    const line = JSON.parse(text) as Record<string, unknown>;
    this.lines.push(line);
    for (const waiting of this.#waiting) if (waiting.matches(line)) waiting.found(line as never);
  }

  /** The first line, past or to come, with these fields. */
  async line(fields: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
    const matches = (line: Record<string, unknown>) => Object.entries(fields).every(([name, v]) => line[name] === v);
    const past = this.lines.find(matches);
    if (past !== undefined) return past;
    return new Promise(found => this.#waiting.push({ matches, found }));
  }
}
