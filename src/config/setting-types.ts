import { z } from 'zod';
import { DatabaseUrlError, parseDatabaseUrl, type SessionAttrs, splitUrls } from '#src/config/database-url.ts';
import { parseRedisUrl, RedisUrlError } from '#src/config/redis-url.ts';

// Types of settings. Each parses the text of an environment variable, and its error says what the text must be. Bounds are
// inclusive, and written as the setting is.

/** A duration such as 250ms, 10s, 5min or 1h, parsed into milliseconds. */
export function duration(min: string, max: string) {
  return quantity(UNITS, 'duration such as 250ms, 10s, 5min or 1h', min, max);
}

/** A size such as 512KiB or 4MiB, parsed into bytes. */
export function bytes(min: string, max: string) {
  return quantity(BYTE_UNITS, 'size such as 512KiB or 4MiB', min, max);
}

/** An integer of up to nine digits. */
export function integer(min: number, max: number) {
  const message = `must be an integer from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,9}$/, message)
    .transform(Number)
    .refine(n => n >= min && n <= max, message);
}

/** The URL of Redis, kept as text. It may name sentinels, or servers of a cluster. */
export function redisUrl() {
  return z.string().superRefine((text, context) => {
    try {
      parseRedisUrl(text);
    } catch (error) {
      if (!(error instanceof RedisUrlError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
    }
  });
}

/** The URL of Postgres, kept as text. It may name several hosts. @param attrs values that its `target_session_attrs` may have. */
export function databaseUrl(...attrs: SessionAttrs[]) {
  return z.string().superRefine((text, context) => {
    try {
      const { wanted } = parseDatabaseUrl(text);
      if (wanted !== undefined && !attrs.includes(wanted)) {
        throw new DatabaseUrlError(`target_session_attrs must be ${attrs.join(' or ')} here`);
      }
    } catch (error) {
      if (!(error instanceof DatabaseUrlError)) throw error;
      context.addIssue(error.message);
    }
  });
}

/** Comma-separated URLs of Postgres. A URL with several hosts becomes one URL for each host. */
export function databaseUrls(...attrs: SessionAttrs[]) {
  return z
    .string()
    .transform(splitUrls)
    .pipe(z.array(databaseUrl(...attrs)))
    .transform(urls => urls.flatMap(text => parseDatabaseUrl(text).servers));
}

/** Comma-separated items. Spaces around them and empty items are ignored. */
export function list<T extends z.ZodType<string, string>>(item: T) {
  return z
    .string()
    .transform(text =>
      text
        .split(',')
        .map(part => part.trim())
        .filter(Boolean),
    )
    .pipe(z.array(item));
}

/** A web origin such as https://app.example.com, or * for any. */
export const origin = z.string().refine(
  // A pattern such as https://*.example.com parses too, but would match no page.
  text => text === '*' || (!text.includes('*') && URL.canParse(text) && new URL(text).origin === text),
  'must be an origin such as https://app.example.com, or *',
);

function quantity(units: Readonly<Record<string, number>>, form: string, min: string, max: string) {
  const pattern = new RegExp(`^(\\d{1,9})(${Object.keys(units).join('|')})$`);
  const parse = (text: string) => {
    const [, digits, unit] = pattern.exec(text) ?? [];
    return Number(digits) * (units[unit ?? ''] ?? Number.NaN);
  };
  return z
    .string()
    .regex(pattern, `must be a ${form}`)
    .transform(parse)
    .refine(n => Number.isNaN(n) || (n >= parse(min) && n <= parse(max)), `must be between ${min} and ${max}`);
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 };
const BYTE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 * 1024 };

/** The value of an HTTP field (RFC 9110, 5.5): printable ASCII. */
export const headerValue = z
  .string()
  .regex(/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/, 'must be printable ASCII without spaces at its ends');

/** The name of an HTTP field (RFC 9110, 5.1). */
export const fieldName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~\w-]+$/, 'must be comma-separated names of HTTP fields, such as x-tenant, x-feature');

/** A CIDR (RFC 4632, 3.1), or a single address. */
export const network = z.union(
  [z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()],
  'must be comma-separated CIDRs or addresses, such as 10.0.0.0/8, 2001:db8::/32, 192.0.2.1',
);
