import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { JsonCursor } from './json-cursor.ts';
import { isBase64, isFloat, isInteger } from './json-values.ts';
import { NULL_VALUE, VALUE, WELL_KNOWN, type WellKnown, WRAPPERS } from './json-well-known.ts';
import { joinPath, MalformedMessageError } from './malformed-message-error.ts';

/**
 * Checks that a text is JSON of a message, as strictly as protobuf-go does. `fromJson` of protobuf-es is less strict: it reads dates that do
 * not exist as other dates, and accepts numbers that are not JSON, such as "0x1".
 *
 * It ignores unknown fields, and unknown names of enum values.
 *
 * @returns the value for `fromJson`.
 * @throws MalformedMessageError with the path of the first field at fault.
 */
export function checkJson(schema: DescMessage, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MalformedMessageError('', `must be JSON: ${reason}`, { cause: error });
  }
  new JsonScan(text).message(schema, DEPTH_MAX);
  return value;
}

/** One walk over the text, along the fields of the message. */
class JsonScan {
  readonly #cursor: JsonCursor;
  /** Whether a string may have an unpaired surrogate. */
  readonly #checksSurrogates: boolean;
  readonly #path: (string | number)[] = [];

  constructor(text: string) {
    this.#cursor = new JsonCursor(text);
    this.#checksSurrogates = SURROGATE_ESCAPE.test(text);
  }

  message(schema: DescMessage, depth: number): void {
    if (depth === 0) throw this.#fault(`has messages in messages more than ${DEPTH_MAX} deep`);
    const read = WELL_KNOWN.get(schema.typeName);
    const wrapped = WRAPPERS.get(schema.typeName);
    if (read !== undefined) this.#wellKnown(read);
    else if (wrapped !== undefined) this.#scalar(wrapped);
    else this.#object(schema, depth);
  }

  #object(schema: DescMessage, depth: number): void {
    this.#open('{', 'an object');
    const fields = fieldsOf(schema);
    const seen = new Set<unknown>();
    while (this.#cursor.hasNext('}')) {
      const name = this.#name();
      const field = fields.get(name);
      this.#requireNew(seen, field ?? name, field?.name ?? name);
      if (field === undefined) {
        this.#pass();
        continue;
      }
      this.#path.push(field.name);
      if (this.#isNull(field)) this.#cursor.word();
      else {
        if (field.oneof !== undefined) this.#requireNew(seen, field.oneof, `one of ${field.oneof.name}`);
        this.#field(field, depth);
      }
      this.#path.pop();
    }
  }

  /** Null stands for a field that is not set, but for the one type that has a null. */
  #isNull(field: DescField): boolean {
    return this.#cursor.peek() === 'n' && field.message?.typeName !== VALUE && field.enum?.typeName !== NULL_VALUE;
  }

  #field(field: DescField, depth: number): void {
    if (field.fieldKind === 'list') this.#list(field, depth);
    else if (field.fieldKind === 'map') this.#map(field, depth);
    else this.#value(field, depth);
  }

  #list(field: DescField, depth: number): void {
    this.#open('[', 'an array');
    for (let index = 0; this.#cursor.hasNext(']'); index++) {
      this.#path.push(index);
      this.#value(field, depth);
      this.#path.pop();
    }
  }

  #map(field: DescField, depth: number): void {
    this.#open('{', 'an object');
    const seen = new Set<unknown>();
    while (this.#cursor.hasNext('}')) {
      const key = this.#name();
      this.#requireNew(seen, key, key);
      this.#value(field, depth);
    }
  }

  /** A value of the field, or an element of its list, or a value of its map. */
  #value(field: DescField, depth: number): void {
    if (field.message !== undefined) this.message(field.message, depth - 1);
    else if (field.enum !== undefined) this.#enum(field.enum.typeName === NULL_VALUE);
    else this.#scalar(field.scalar as ScalarType);
  }

  #enum(isNullValue: boolean): void {
    const start = this.#cursor.peek();
    if (start === '"') this.#string();
    else if (!(isNullValue && start === 'n') && !this.#isNumber(ScalarType.INT32)) {
      throw this.#fault('must be the name of an enum value, or its number');
    } else if (start === 'n') this.#cursor.word();
  }

  #scalar(type: ScalarType): void {
    switch (type) {
      case ScalarType.STRING:
        if (this.#cursor.peek() !== '"') throw this.#fault('must be a string');
        this.#string();
        return;
      case ScalarType.BOOL:
        if (!['t', 'f'].includes(this.#cursor.peek())) throw this.#fault('must be true or false');
        this.#cursor.word();
        return;
      case ScalarType.BYTES:
        if (this.#cursor.peek() !== '"' || !isBase64(this.#string())) throw this.#fault('must be a string of base64');
        return;
      default:
        if (!this.#isNumber(type)) throw this.#fault(`must be a number of the type ${ScalarType[type].toLowerCase()}`);
    }
  }

  /** Reads a number, which may stand in a string. */
  #isNumber(type: ScalarType): boolean {
    const start = this.#cursor.peek();
    const isText = start === '"';
    if (!isText && !NUMBER_START.includes(start)) return false;
    const text = isText ? this.#string() : this.#cursor.word();
    if (type !== ScalarType.DOUBLE && type !== ScalarType.FLOAT) return isInteger(text, type);
    return isFloat(text) && (!NUMBER_START.includes(text.charAt(0)) || Number.isFinite(toFloat(text, type)));
  }

  #wellKnown(read: WellKnown): void {
    if (read === 'any value') {
      this.#pass();
      return;
    }
    if (this.#cursor.peek() !== '"') throw this.#fault('must be a string');
    const fault = read(this.#string());
    if (fault !== undefined) throw this.#fault(fault);
  }

  /** Passes over a value of which nothing is known. */
  #pass(): void {
    const names: (Set<unknown> | undefined)[] = [];
    do {
      const top = names.at(-1);
      if (names.length > 0 && !this.#cursor.hasNext(top === undefined ? ']' : '}')) {
        names.pop();
        continue;
      }
      if (top !== undefined) {
        const name = this.#name();
        this.#requireNew(top, name, name);
      }
      const start = this.#cursor.peek();
      if (start === '{' || start === '[') {
        this.#cursor.advance();
        names.push(start === '{' ? new Set() : undefined);
      } else if (start === '"') this.#string();
      else this.#cursor.word();
    } while (names.length > 0);
  }

  #open(bracket: string, what: string): void {
    if (this.#cursor.peek() === '"' && this.#checksSurrogates) this.#string();
    if (this.#cursor.peek() !== bracket) throw this.#fault(`must be ${what}`);
    this.#cursor.advance();
  }

  #string(): string {
    return this.#wellFormed(this.#cursor.string());
  }

  #name(): string {
    return this.#wellFormed(this.#cursor.name());
  }

  #wellFormed(text: string): string {
    if (this.#checksSurrogates && SURROGATE.test(text)) {
      throw this.#fault('must be Unicode text (UTF8), and has an unpaired surrogate: half of a surrogate pair');
    }
    return text;
  }

  #requireNew(seen: Set<unknown>, key: unknown, name: string): void {
    if (seen.has(key)) throw this.#fault(`has ${name.slice(0, 64)} twice`);
    seen.add(key);
  }

  #fault(description: string): MalformedMessageError {
    return new MalformedMessageError(joinPath(this.#path), description);
  }
}

const fieldMaps = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();

/** The fields by each of their names: the one in the .proto, and the one in lower camel case. */
function fieldsOf(schema: DescMessage): ReadonlyMap<string, DescField> {
  let fields = fieldMaps.get(schema);
  if (fields === undefined) {
    fields = new Map(
      schema.fields.flatMap(field => [
        [field.name, field],
        [field.jsonName, field],
      ]),
    );
    fieldMaps.set(schema, fields);
  }
  return fields;
}

function toFloat(text: string, type: ScalarType): number {
  return type === ScalarType.FLOAT ? Math.fround(Number(text)) : Number(text);
}

const NUMBER_START = [...'-0123456789'];
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;
const SURROGATE = /\p{Surrogate}/u;
/** As protobuf-es has it. */
const DEPTH_MAX = 100;
