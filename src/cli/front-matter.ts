import { parse as parseToml, TomlDate, TomlError } from 'smol-toml';
import { isMap, parseDocument, stringify, visit, type YAMLError } from 'yaml';

/**
 * The most characters between the two fences: 32 KiB. An exported post has at most half of that, and YAML's check for
 * repeated keys takes time in the square of it.
 */
export const FRONT_MATTER_MAX_LENGTH = 32 * 1024;

/** A Markdown file's two parts. */
export interface FrontMatterFile {
  /** The keys and values between the fences. YAML's numbers and booleans are text here, just as they were written. */
  readonly data: ReadonlyMap<string, unknown>;
  /** All that follows the line break after the closing fence, unchanged. */
  readonly content: string;
}

/**
 * Splits a file into front matter and content. The first line is a fence: `---` for YAML 1.2, or `+++` for TOML 1.0. The front matter ends at
 * the next line with the same fence. Spaces and tabs may follow a fence. A later fence is content, and so is a blank line after the closing
 * fence.
 *
 * @param text the whole file, without a byte order mark.
 * @throws PostFileError with the file's line, if the front matter is missing or cannot be read.
 */
export function parseFrontMatter(text: string): FrontMatterFile {
  const opening = /^(---|\+\+\+)[ \t]*\r?\n/.exec(text);
  if (opening === null) throw fault('is missing: the first line must be --- for YAML or +++ for TOML');
  const isYaml = opening[1] === '---';
  const start = opening[0].length;
  const fence = isYaml ? /(?<=\n)---[ \t]*(?:\r?\n|$)/g : /(?<=\n)\+\+\+[ \t]*(?:\r?\n|$)/g;
  fence.lastIndex = start;
  const closing = fence.exec(text);
  if (closing === null) throw fault(`is opened by ${opening[1]} on line 1 and never closed`);
  if (closing.index - start > FRONT_MATTER_MAX_LENGTH) {
    throw fault(`has ${closing.index - start} characters; it may have ${FRONT_MATTER_MAX_LENGTH}`);
  }
  const source = text.slice(start, closing.index);
  return {
    data: new Map(Object.entries(isYaml ? readYaml(source) : readToml(source))),
    content: text.slice(closing.index + closing[0].length),
  };
}

/**
 * A file with YAML front matter, which parseFrontMatter reads back to the same values and the same content. Every text is in double quotes
 * with JSON's escapes, so that no YAML reader takes it for a number, a date or a null. What YAML 1.1 calls a line break, or no reader can
 * print, is escaped too.
 */
export function formatFrontMatter(data: Readonly<Record<string, unknown>>, content: string): string {
  const yaml = stringify(data, {
    defaultStringType: 'QUOTE_DOUBLE',
    defaultKeyType: 'PLAIN',
    doubleQuotedAsJSON: true,
    lineWidth: 0,
  });
  const toEscape = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `---\n${yaml.replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, toEscape)}---\n${content}`;
}

function readYaml(source: string): object {
  const document = parseDocument(source, { logLevel: 'error' });
  if (document.errors[0]) throw yamlFault(document.errors[0]);
  if (document.contents === null) return {};
  if (!isMap(document.contents)) throw fault('is not made of "key: value" lines');
  try {
    visit(document, {
      Scalar(_key, node) {
        // Authors who write `tags: [1.10, yes]` or `title: 1984` mean text.
        if (typeof node.value === 'number' || typeof node.value === 'boolean') node.value = node.source;
      },
    });
    return document.toJS();
  } catch (error) {
    if (error instanceof RangeError) throw fault(TOO_DEEP);
    // More than 100 values by alias (*): how a few lines are made to fill the memory. Or an alias to nothing.
    if (error instanceof ReferenceError) throw fault(`is not valid YAML: ${lowerFirst(error.message)}`);
    throw error;
  }
}

function readToml(source: string): object {
  try {
    return parseToml(source, { integersAsBigInt: 'asNeeded' });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '');
    throw fault(`is not valid TOML, line ${error.line + 1}: ${what}`);
  }
}

function yamlFault({ code, message, linePos }: YAMLError): PostFileError {
  if (code === 'MULTIPLE_DOCS') return fault('has more than one YAML document in it');
  if (message.startsWith('Maximum call stack')) return fault(TOO_DEEP);
  const what = lowerFirst(message.replace(/ at line \d+, column \d+:[\s\S]*/, ''));
  const hint = message.startsWith('Nested mappings') ? ' (a text with ": " in it needs quotes)' : '';
  return fault(`is not valid YAML, line ${(linePos?.[0].line ?? 0) + 1}: ${what}${hint}`);
}

function fault(description: string): PostFileError {
  return new PostFileError(`front matter: ${description}`);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

const TOO_DEEP = 'is nested too deeply';

/**
 * Reads a date as front matter has it: ISO 8601 and RFC 3339, YAML's timestamps (https://yaml.org/type/timestamp.html),
 * TOML's dates and date-times, Jekyll's and Hugo's `2006-01-02 15:04:05 -0700`. A date alone is its midnight; without a
 * time zone it is UTC, as YAML says. What is finer than a millisecond is dropped, as the service does.
 *
 * @returns undefined if it is not a date, or is outside the years 1 to 9999.
 */
export function parseDate(value: unknown): Date | undefined {
  const text = value instanceof TomlDate ? value.toISOString() : value;
  const parts = typeof text === 'string' ? FORM.exec(text.trim())?.groups : undefined;
  if (parts === undefined) return undefined;
  const day = `${parts.year}-${two(parts.month)}-${two(parts.day)}`;
  const fraction = (parts.fraction ?? '').slice(0, 3).padEnd(3, '0');
  const local = Date.parse(`${day}T${two(parts.hour)}:${two(parts.minute)}:${two(parts.second)}.${fraction}Z`);
  // Date.parse takes the 30th of February for the 1st of March.
  if (Number.isNaN(local) || !new Date(local).toISOString().startsWith(day)) return undefined;
  const time = local - offsetMs(parts);
  return time >= MIN && time <= MAX ? new Date(time) : undefined;
}

const FORM =
  /^(?<year>\d{4})-(?<month>\d{1,2})-(?<day>\d{1,2})(?:(?:[Tt]|[ \t]+)(?<hour>\d{1,2}):(?<minute>\d{2})(?::(?<second>\d{2})(?:\.(?<fraction>\d*))?)?[ \t]*(?:[Zz]|UTC|(?<sign>[+-])(?<offsetHour>\d\d?)(?::?(?<offsetMinute>[0-5]\d))?)?)?$/;

const MIN = Date.parse('0001-01-01T00:00:00.000Z');
const MAX = Date.parse('9999-12-31T23:59:59.999Z');

function offsetMs({ sign, offsetHour, offsetMinute }: Readonly<Record<string, string | undefined>>): number {
  const minutes = Number(offsetHour ?? 0) * 60 + Number(offsetMinute ?? 0);
  return (sign === '-' ? -minutes : minutes) * 60_000;
}

function two(digits = '0'): string {
  return digits.padStart(2, '0');
}

/** A file that can't become a post: the message is the reason, as a person is to read it, and names the field at fault. */
export class PostFileError extends Error {
  override readonly name = 'PostFileError';
}
