import { ScalarType } from '@bufbuild/protobuf';

/**
 * Whether a JSON number, or the text of one, is an integer of this type. An exponent and a fraction of zeros are allowed, such as in
 * `1e2` and `1.0`; exactly, without the detour over a double, as protobuf-go has it.
 */
export function isInteger(text: string, type: ScalarType): boolean {
  const match = NUMBER.exec(text);
  if (match === null) return false;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const digits = whole === '0' ? '' : whole;
  const decimals = withoutTrailingZeros(fraction);
  if (digits === '' && decimals === '') return true;
  const point = digits.length + Number(exponent);
  // No integer has more digits.
  if (point < 0 || point > DIGITS_MAX) return false;
  const all = `${digits}${decimals}`.padEnd(point, '0');
  if (/[1-9]/.test(all.slice(point))) return false;
  const [min, max] = RANGES[type] ?? INT32;
  const value = BigInt(`${sign}${all.slice(0, point) || '0'}`);
  return value >= min && value <= max;
}

/** By hand: an expression takes time in proportion to the square of a long text. */
function withoutTrailingZeros(digits: string): string {
  let end = digits.length;
  while (end > 0 && digits.charAt(end - 1) === '0') end--;
  return digits.slice(0, end);
}

/** Whether a text is a JSON number, or one of the three values that JSON has no number for. */
export function isFloat(text: string): boolean {
  return NUMBER.test(text) || text === 'NaN' || text === 'Infinity' || text === '-Infinity';
}

/**
 * Whether a text is base64 of one of the two alphabets, with all of its padding or without any (RFC 4648). Line breaks do not count.
 * Bits that are left over at the end may be other than 0.
 */
export function isBase64(text: string): boolean {
  const isUrl = /[-_]/.test(text);
  const isPadded = text.length % 4 === 0;
  const plain = text.replace(/[\r\n]/g, '');
  const symbols = isUrl ? /^[\w-]*$/ : /^[A-Za-z0-9+/]*$/;
  const padding = isPadded ? (/={1,2}$/.exec(plain)?.[0] ?? '') : '';
  const length = plain.length % 4;
  return symbols.test(plain.slice(0, plain.length - padding.length)) && (isPadded ? length === 0 : length !== 1);
}

/**
 * What is wrong with a time (google.protobuf.Timestamp). It must be a time of RFC 3339 that exists, with capital T and Z and at most nine
 * decimals. It must have no leap second, and be within the years 1 to 9999 of UTC. Undefined: nothing.
 */
export function faultOfTime(text: string): string | undefined {
  const match = TIME.exec(text);
  if (match === null) return `must be a time of RFC 3339 such as "2026-01-31T09:30:00Z" (with at most nine decimals)`;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, offsetHour = 0, offsetMinute = 0] = match
    .slice(1)
    .map(Number);
  const isDay = month >= 1 && month <= 12 && day >= 1 && day <= daysOf(month, year);
  if (!isDay) return 'must be a date that exists';
  if (hour > 23 || minute > 59 || second > 59) return 'must be a time of day from 00:00:00 to 23:59:59';
  if (offsetHour > 23 || offsetMinute > 59) return 'must have an offset from UTC of at most 23:59';
  if (year > 1 && year < 9999) return undefined;
  const ms = Date.parse(text.replace(/\.\d+/, ''));
  return ms >= TIME_MIN && ms <= TIME_MAX ? undefined : 'must be between the years 1 and 9999 of UTC';
}

/** Whether a text is a google.protobuf.Duration: seconds with at most nine decimals, and `s` behind them. Its range is not looked at. */
export function isDuration(text: string): boolean {
  return /^-?(?:0|[1-9]\d*)(?:\.\d{1,9})?s$/.test(text);
}

/**
 * Whether a text is a google.protobuf.FieldMask: names of fields in lower camel case, separated by commas. `*` stands for all fields
 * (AIP-134, AIP-161), for which protobuf has no place, so that protobuf-go refuses it.
 */
export function isFieldMask(text: string): boolean {
  return text === '' || text.split(',').every(path => path === '*' || PATH.test(path));
}

function daysOf(month: number, year: number): number {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
}

const DIGITS_MAX = 20;
/** The grammar of RFC 8259, section 6. */
const NUMBER = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:Z|[+-](\d\d):(\d\d))$/;
const TIME_MIN = Date.parse('0001-01-01T00:00:00Z');
const TIME_MAX = Date.parse('9999-12-31T23:59:59Z');
const PATH = /^[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z][A-Za-z0-9]*)*$/;

type Range = readonly [min: bigint, max: bigint];
const INT32: Range = [-(2n ** 31n), 2n ** 31n - 1n];
const UINT32: Range = [0n, 2n ** 32n - 1n];
const INT64: Range = [-(2n ** 63n), 2n ** 63n - 1n];
const UINT64: Range = [0n, 2n ** 64n - 1n];
const RANGES: Partial<Record<ScalarType, Range>> = {
  [ScalarType.INT64]: INT64,
  [ScalarType.SINT64]: INT64,
  [ScalarType.SFIXED64]: INT64,
  [ScalarType.UINT64]: UINT64,
  [ScalarType.FIXED64]: UINT64,
  [ScalarType.UINT32]: UINT32,
  [ScalarType.FIXED32]: UINT32,
};
