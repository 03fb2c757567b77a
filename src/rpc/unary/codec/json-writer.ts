import type { JsonWriteOptions } from '@bufbuild/protobuf';
import { type DescField, type DescMessage, type Message, ScalarType, toJsonString } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence as Presence, TimestampSchema } from '@bufbuild/protobuf/wkt';

/**
 * Makes a writer of JSON for one message type. Its text is that of toJsonString, in less than half the time, because it makes no
 * intermediate object. It leaves rare kinds of fields, and values that cannot be written, to toJsonString with its errors. It writes texts,
 * numbers, enums, timestamps, and messages or lists of those.
 *
 * @param options those of toJsonString; the registry is for what is left to it.
 */
export function createJsonWriter(type: DescMessage, options?: Partial<JsonWriteOptions>): (message: Message) => string {
  const write = messageWriter(type, new Map());
  return message => write?.(message as unknown as Fields) ?? toJsonString(type, message, options);
}

/** @returns undefined if messages of this type are left to toJsonString. */
function messageWriter(type: DescMessage, known: Map<DescMessage, WriteValue>): WriteValue | undefined {
  if (type.typeName === TimestampSchema.typeName)
    return value => formatTimestamp(value as Parameters<typeof formatTimestamp>[0]);
  if (type.typeName.startsWith('google.protobuf.')) return undefined;
  const found = known.get(type);
  if (found !== undefined) return found;
  const writers: WriteField[] = [];
  const write: WriteValue = value => {
    const message = value as Fields;
    // A message of another type, or with fields that an extension may explain.
    if (message.$typeName !== type.typeName || message.$unknown !== undefined) return undefined;
    let text = '{';
    for (const writeField of writers) {
      const field = writeField(message);
      if (field === undefined) return undefined;
      if (field !== '') text += text === '{' ? field : `,${field}`;
    }
    return `${text}}`;
  };
  // Before its fields, which may be messages of the same type.
  known.set(type, write);
  for (const field of type.fields.toSorted((a, b) => a.number - b.number)) {
    const writeField = fieldWriter(field, known);
    if (writeField === undefined) return undefined;
    writers.push(writeField);
  }
  return write;
}

function fieldWriter(field: DescField, known: Map<DescMessage, WriteValue>): WriteField | undefined {
  const { localName } = field;
  const name = `${JSON.stringify(field.jsonName)}:`;
  const write = valueWriter(field, known);
  if (write === undefined || field.jsonName === '__proto__') return undefined;
  const named = (value: unknown) => {
    const text = write(value);
    return text === undefined ? undefined : name + text;
  };
  if (field.fieldKind === 'list') {
    return message => {
      const items = message[localName] as readonly unknown[];
      if (items.length === 0) return '';
      let list = '';
      for (const item of items) {
        const text = write(item);
        if (text === undefined) return undefined;
        list += list === '' ? text : `,${text}`;
      }
      return `${name}[${list}]`;
    };
  }
  if (field.oneof !== undefined) {
    const oneofName = field.oneof.localName;
    return message => {
      const oneof = message[oneofName] as { readonly case?: string; readonly value?: unknown };
      return oneof.case === localName ? named(oneof.value) : '';
    };
  }
  if (field.fieldKind === 'message') {
    return message => (message[localName] === undefined ? '' : named(message[localName]));
  }
  if (field.presence !== Presence.IMPLICIT) return undefined;
  const zero = field.fieldKind === 'enum' ? field.enum.values[0]?.number : ZERO[field.scalar as keyof typeof ZERO];
  return message => (message[localName] === zero ? '' : named(message[localName]));
}

/** Writes a value of a field, or an item of a list. */
function valueWriter(field: DescField, known: Map<DescMessage, WriteValue>): WriteValue | undefined {
  if (field.message !== undefined && field.fieldKind !== 'map') return messageWriter(field.message, known);
  if (field.enum !== undefined && field.fieldKind !== 'map') {
    const { value: values } = field.enum;
    return value => {
      const known = values[value as number];
      return known === undefined ? undefined : JSON.stringify(known.jsonName);
    };
  }
  return field.fieldKind === 'map' ? undefined : WRITERS[field.scalar as keyof typeof WRITERS];
}

const writeText: WriteValue = value => {
  if (typeof value !== 'string') return undefined;
  // Most texts need no escapes, and a test is faster than escaping.
  return value.length < SHORT && !ESCAPED.test(value) ? `"${value}"` : JSON.stringify(value);
};
const writeBoolean: WriteValue = value => (typeof value === 'boolean' ? String(value) : undefined);
// JSON writes an infinity, or NaN, as text.
const writeNumber: WriteValue = value => (Number.isFinite(value) ? String(value) : undefined);

/** Also surrogates, which are escaped if they are unpaired. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const ESCAPED = /[\u0000-\u001f"\\\ud800-\udfff]/;
const SHORT = 256;

const WRITERS = {
  [ScalarType.STRING]: writeText,
  [ScalarType.BOOL]: writeBoolean,
  [ScalarType.INT32]: writeNumber,
  [ScalarType.UINT32]: writeNumber,
};
const ZERO = {
  [ScalarType.STRING]: '',
  [ScalarType.BOOL]: false,
  [ScalarType.INT32]: 0,
  [ScalarType.UINT32]: 0,
};

/** A message, by the names of its fields. */
type Fields = Readonly<Record<string, unknown>>;
/** @returns undefined for a value that it does not write. */
type WriteValue = (value: unknown) => string | undefined;
/** @returns a name and a value; empty if the field is not set; undefined for a value that it does not write. */
type WriteField = (message: Fields) => string | undefined;

/**
 * A google.protobuf.Timestamp in its JSON form, with quotes, such as `"2026-03-01T09:00:00.250Z"`: UTC, with 0, 3, 6 or 9 digits of the
 * second. It takes a third of the time of Date.
 *
 * @returns undefined if it is outside the years 1 to 9999, or its nanoseconds are outside a second.
 */
export function formatTimestamp({ seconds, nanos }: Timestamp): string | undefined {
  const second = Number(seconds);
  if (!(second >= FIRST_SECOND && second <= LAST_SECOND && nanos >= 0 && nanos <= 999_999_999)) return undefined;
  const day = Math.floor(second / SECONDS_OF_DAY);
  const time = second - day * SECONDS_OF_DAY;
  const hour = Math.floor(time / 3600);
  const minute = Math.floor(time / 60) % 60;
  return `"${formatDay(day)}T${DIGITS[hour]}:${DIGITS[minute]}:${DIGITS[time % 60]}${formatNanos(nanos)}Z"`;
}

/**
 * @param day since 1970-01-01.
 * @see https://howardhinnant.github.io/date_algorithms.html#civil_from_days, where years begin in March.
 */
function formatDay(day: number): string {
  const sinceYear0 = day + 719_468;
  const era = Math.floor(sinceYear0 / 146_097);
  const dayOfEra = sinceYear0 - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const dayOfMonth = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${DIGITS[Math.floor(year / 100)]}${DIGITS[year % 100]}-${DIGITS[month]}-${DIGITS[dayOfMonth]}`;
}

function formatNanos(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(nanos + 1_000_000_000).slice(1);
  if (digits.endsWith('000000')) return `.${digits.slice(0, 3)}`;
  return `.${digits.endsWith('000') ? digits.slice(0, 6) : digits}`;
}

const SECONDS_OF_DAY = 86_400;
/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
const FIRST_SECOND = -62_135_596_800;
const LAST_SECOND = 253_402_300_799;
const DIGITS = Array.from({ length: 100 }, (_, n) => String(n).padStart(2, '0'));

interface Timestamp {
  readonly seconds: bigint;
  readonly nanos: number;
}
