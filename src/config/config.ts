import { AllOrNone, type Read, Setting, type SettingGroup } from '#src/config/setting.ts';
import { SETTINGS } from '#src/config/settings.ts';

/** The parsed settings, frozen. SETTINGS declares each one and says what it means. */
export type Config = Read<typeof SETTINGS>;

/** How to reach Postgres and how long to wait for it. Names that end in Ms are in milliseconds. */
export type DatabaseConfig = Config['database'];

/** `problems` has one line for each bad setting, which begins with its name. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`bad settings:\n${problems.map(p => `  ${p}`).join('\n')}`);
    this.problems = problems;
  }
}

/**
 * Parses environment variables. An unset or empty variable has its default.
 *
 * @throws ConfigError with every problem at once.
 */
export function parseConfig(env: Environment): Config {
  const problems: string[] = [];
  const config = readGroup(SETTINGS, env, problems) as Config;
  const requires = (name: string, companion: string, reason = '') => {
    if (env[name] && !env[companion]) problems.push(`${companion}: is required with ${name}${reason}`);
  };
  requires('TLS_CERT', 'TLS_KEY');
  requires('TLS_KEY', 'TLS_CERT');
  requires('DATABASE_URL', 'PAGE_TOKEN_SECRET', ', so that every instance accepts the same page tokens');
  if (config.deadline.defaultMs > config.deadline.maxMs)
    problems.push('DEADLINE_DEFAULT: must not exceed DEADLINE_MAX');
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @returns a frozen object. A bad value is undefined there, and named in `problems`. */
function readGroup(group: SettingGroup, env: Environment, problems: string[]): Readonly<Record<string, unknown>> {
  const read = (entry: SettingGroup[string]) => {
    if (entry instanceof Setting) return readSetting(entry, env, problems);
    if (!(entry instanceof AllOrNone)) return readGroup(entry, env, problems);
    const values = readGroup(entry.settings, env, problems);
    return Object.values(values).includes(undefined) ? undefined : values;
  };
  return Object.freeze(Object.fromEntries(Object.entries(group).map(([name, entry]) => [name, read(entry)])));
}

function readSetting(setting: Setting<unknown>, env: Environment, problems: string[]): unknown {
  const text = env[setting.name] || setting.default;
  if (text === '' && setting.isOptional) return undefined;
  const { data, error } = setting.type.safeParse(text);
  for (const { message } of error?.issues ?? []) problems.push(`${setting.name}: ${message}`);
  return Object.freeze(data);
}
