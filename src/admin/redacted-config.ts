import type { Config } from '#src/config/config.ts';
import { splitAuthority } from '#src/config/database-url.ts';

/** The settings in effect, for operators, without secrets and without the passwords of URLs. */
export function redactConfig(config: Config): object {
  return JSON.parse(JSON.stringify(config, (name, value) => (typeof value === 'string' ? redact(name, value) : value)));
}

function redact(name: string, text: string): string {
  if (SECRET.test(name)) return REDACTED;
  const { scheme, credentials, hosts, rest } = splitAuthority(text);
  if (scheme === '') return text;
  // `URL` accepts only one host, and a database may have several.
  const one = `${scheme}${credentials}${PLACE}${rest}`;
  if (!URL.canParse(one)) return REDACTED;
  const url = new URL(one);
  if (url.password !== '') url.password = REDACTED;
  for (const parameter of url.searchParams.keys()) {
    if (SECRET.test(parameter)) url.searchParams.set(parameter, REDACTED);
  }
  return url.href.replace(PLACE, () => hosts);
}

const SECRET = /secret|token|password/i;
const REDACTED = 'REDACTED';
/** No other part of a URL has such a name (RFC 2606). */
const PLACE = 'hosts.invalid';
