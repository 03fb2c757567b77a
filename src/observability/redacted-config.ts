import type { Config } from '#src/config.ts';

/** The settings as they are in effect, for operators: without secrets, and without the passwords of URLs. */
export function redactConfig(config: Config): object {
  return JSON.parse(JSON.stringify(config, (name, value) => (typeof value === 'string' ? redact(name, value) : value)));
}

function redact(name: string, text: string): string {
  if (/secret|token|password/i.test(name)) return REDACTED;
  if (!/^[a-z]+:\/\//.test(text) || !URL.canParse(text)) return text;
  const url = new URL(text);
  if (url.password !== '') url.password = REDACTED;
  for (const parameter of url.searchParams.keys()) {
    if (/secret|token|password/i.test(parameter)) url.searchParams.set(parameter, REDACTED);
  }
  return url.href;
}

const REDACTED = 'REDACTED';
