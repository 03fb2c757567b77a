import type { z } from 'zod';

/** One setting: the one place where its variable, type, default and meaning are declared. */
export class Setting<T> {
  /** Of the environment variable. */
  readonly name: string;
  /** Reads the text of the variable. */
  readonly type: z.ZodType<T, string>;
  /** As one would write it; empty where there is none. */
  readonly default: string;
  readonly meaning: string;
  readonly isOptional: boolean;

  constructor(name: string, type: z.ZodType<T, string>, fallback: string | undefined, meaning: string) {
    this.name = name;
    this.type = type;
    this.default = fallback ?? '';
    this.meaning = meaning;
    this.isOptional = fallback === undefined;
  }
}

/** Settings that are given together or not at all. */
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

/** What a group of settings is read into. */
export type Read<G> =
  G extends Setting<infer T>
    ? ReadonlyList<T>
    : G extends AllOrNone<infer Inner>
      ? { readonly [K in keyof Inner]: NonNullable<Read<Inner[K]>> } | undefined
      : { readonly [K in keyof G]: Read<G[K]> };

type ReadonlyList<T> = T extends readonly (infer Item)[] ? readonly Item[] : T;

/** A setting with a default, written as one would write the setting. */
export function setting<T>(name: string, type: z.ZodType<T, string>, fallback: string, meaning: string): Setting<T> {
  return new Setting(name, type, fallback, meaning);
}

/** A setting without a default: undefined where it is unset. */
export function optional<T>(name: string, type: z.ZodType<T, string>, meaning: string): Setting<T | undefined> {
  return new Setting<T | undefined>(name, type, undefined, meaning);
}

/** Undefined unless all of them are given. */
export function allOrNone<G extends SettingGroup>(settings: G): AllOrNone<G> {
  return new AllOrNone(settings);
}
