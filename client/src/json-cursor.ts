/** Reads the tokens of a text that `JSON.parse` has accepted, so it does not check the syntax. */
export class JsonCursor {
  readonly #text: string;
  #pos = 0;
  /** The position of the next backslash after the last search. */
  #escape = -1;

  constructor(text: string) {
    this.#text = text;
  }

  /** The first character of the next token. */
  peek(): string {
    const text = this.#text;
    while (text.charCodeAt(this.#pos) <= SPACE) this.#pos++;
    return text.charAt(this.#pos);
  }

  /** Skips a token of one character. */
  advance(): void {
    this.#pos++;
  }

  /** Skips the separator of values. @returns whether the object or array has another value. `advance` has skipped its beginning. */
  hasNext(close: string): boolean {
    if (this.peek() === ',') this.#pos++;
    if (this.peek() !== close) return true;
    this.#pos++;
    return false;
  }

  /** Reads a name and the colon behind it. */
  name(): string {
    const name = this.string();
    this.peek();
    this.#pos++;
    return name;
  }

  /** Reads a string. */
  string(): string {
    this.peek();
    const start = this.#pos;
    const hasEscapes = this.#passString();
    const text = this.#text;
    return hasEscapes ? JSON.parse(text.slice(start, this.#pos)) : text.slice(start + 1, this.#pos - 1);
  }

  /** Reads a number, `true`, `false` or `null`, as it is written. */
  word(): string {
    this.peek();
    const text = this.#text;
    const start = this.#pos;
    while (isOfWord(text.charCodeAt(this.#pos))) this.#pos++;
    return text.slice(start, this.#pos);
  }

  /** Skips a string, which is far faster than reading it. @returns whether it has escapes. */
  #passString(): boolean {
    const text = this.#text;
    const start = this.#pos + 1;
    if (this.#escape < start) {
      const at = text.indexOf('\\', start);
      this.#escape = at < 0 ? Number.POSITIVE_INFINITY : at;
    }
    let end = text.indexOf('"', start);
    const hasEscapes = this.#escape < end;
    if (hasEscapes) while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
    this.#pos = end + 1;
    return hasEscapes;
  }
}

/** Whether an odd number of backslashes stands before it. */
function isEscaped(text: string, at: number): boolean {
  let before = at;
  while (text.charCodeAt(before - 1) === BACKSLASH) before--;
  return (at - before) % 2 === 1;
}

/** Whether a word goes on with this character; NaN behind the end of the text. */
function isOfWord(code: number): boolean {
  return code > SPACE && code !== COMMA && code !== BRACKET && code !== BRACE;
}

const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const BRACKET = 0x5d;
const BRACE = 0x7d;
/** Between tokens there is nothing at or below it but the four characters that JSON has for space. */
const SPACE = 0x20;
