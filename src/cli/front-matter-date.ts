import { TomlDate } from 'smol-toml';

/**
 * Reads a date as front matter has it: ISO 8601 and RFC 3339, YAML's timestamps (https://yaml.org/type/timestamp.html),
 * TOML's dates and date-times, Jekyll's and Hugo's `2006-01-02 15:04:05 -0700`. A date alone is its midnight; without a
 * time zone it is UTC, as YAML says. What is finer than a millisecond is dropped, as the service does.
 *
 * @returns undefined where it is no date, or outside the years 1 to 9999.
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
