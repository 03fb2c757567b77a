import type { z } from 'zod';

/** The declaration of one setting. Its place in SETTINGS is its place in Config. */
export class Setting<T> {
  /** Name of the environment variable. */
  readonly name: string;
  /** Parses the text of the variable. */
  readonly type: z.ZodType<T, string>;
  /** The text that an unset variable stands for; empty if there is none. */
  readonly default: string;
  /** For --help, .env.example and the documentation: meaning, unit, limit, reason for the default. */
  readonly meaning: string;
  /** Whether Config has undefined when the variable is unset. */
  readonly isOptional: boolean;

  constructor(name: string, type: z.ZodType<T, string>, fallback: string | undefined, meaning: string) {
    this.name = name;
    this.type = type;
    this.default = fallback ?? '';
    this.meaning = meaning;
    this.isOptional = fallback === undefined;
  }
}

/** Settings that only take effect together: Config has undefined unless all are set. */
export class AllOrNone<G> {
  readonly settings: G;

  constructor(settings: G) {
    this.settings = settings;
  }
}

/** Settings by their names in Config. */
export interface SettingGroup {
  readonly [name: string]: Setting<unknown> | AllOrNone<SettingGroup> | SettingGroup;
}

/** The part of Config that a group of settings is parsed into. */
export type Read<G> =
  G extends Setting<infer T>
    ? ReadonlyList<T>
    : G extends AllOrNone<infer Inner>
      ? { readonly [K in keyof Inner]: NonNullable<Read<Inner[K]>> } | undefined
      : { readonly [K in keyof G]: Read<G[K]> };

type ReadonlyList<T> = T extends readonly (infer Item)[] ? readonly Item[] : T;

/** Declares a setting with a default, as the text that one would set. */
export function setting<T>(name: string, type: z.ZodType<T, string>, fallback: string, meaning: string): Setting<T> {
  return new Setting(name, type, fallback, meaning);
}

/** Declares a setting without a default. */
export function optional<T>(name: string, type: z.ZodType<T, string>, meaning: string): Setting<T | undefined> {
  return new Setting<T | undefined>(name, type, undefined, meaning);
}

/** Declares settings that only take effect together. */
export function allOrNone<G extends SettingGroup>(settings: G): AllOrNone<G> {
  return new AllOrNone(settings);
}
