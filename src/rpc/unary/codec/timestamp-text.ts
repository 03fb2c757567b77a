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
