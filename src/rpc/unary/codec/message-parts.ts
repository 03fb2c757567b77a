import { randomUUID } from 'node:crypto';
import { type DescMessage, type Message, ScalarType, toBinary } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence as Presence } from '@bufbuild/protobuf/wkt';
import { escapedText, plainText } from '#src/wire/large-text.ts';
import type { MessagePart } from '#src/wire/streamed-message.ts';

/** Splits messages of one type into their long texts and the parts around them. */
export interface MessageParts {
  /** The length of their long texts together, in UTF-16 code units. */
  readonly weigh: (message: Message) => number;
  /** Whether none of them has an unpaired surrogate, which the formats treat differently. */
  readonly isWellFormed: (message: Message) => boolean;
  readonly binary: (message: Message) => MessagePart[];
  readonly json: (message: Message) => MessagePart[];
}

/** Makes a function that measures the long texts of a message, in UTF-16 code units. */
export function createMessageWeigher(): (type: DescMessage, message: Message) => number {
  const known = new Map<DescMessage, Shape>();
  return (type, message) => weigh(shapeOf(type, known), message as unknown as Fields);
}

/**
 * Finds long texts in string and message fields, single or repeated. Texts elsewhere do not count as long.
 *
 * @param toJson writes a message of the type.
 */
export function messageParts(type: DescMessage, toJson: (message: Message) => string): MessageParts {
  const shape = shapeOf(type, new Map());
  return {
    weigh: message => weigh(shape, message as unknown as Fields),
    isWellFormed: message => textsOf(shape, message as unknown as Fields).every(text => text.isWellFormed()),
    binary: message => binaryParts(shape, message as unknown as Fields),
    json: message => {
      const texts: string[] = [];
      const slim = slimOf(shape, message as unknown as Fields, text => `${MARK}${texts.push(text) - 1}`);
      return toJson(slim as unknown as Message)
        .split(MARKED)
        .flatMap((part, n) => (n % 2 === 0 ? Buffer.from(part) : jsonInQuotes(texts[Number(part)] as string)));
    },
  };
}

function weigh(shape: Shape, message: Fields): number {
  let sum = 0;
  for (const name of shape.texts) {
    const { length } = message[name] as string;
    if (length >= LONG) sum += length;
  }
  for (const { name, shape: inner } of shape.messages)
    for (const one of messagesOf(message[name])) sum += weigh(inner, one);
  return sum;
}

function textsOf(shape: Shape, message: Fields): string[] {
  const inner = shape.messages.flatMap(({ name, shape }) =>
    messagesOf(message[name]).flatMap(one => textsOf(shape, one)),
  );
  return [...shape.texts.map(name => message[name] as string), ...inner];
}

/** The order of fields has no meaning, except among fields of one number. */
function binaryParts(shape: Shape, message: Fields): MessagePart[] {
  const rest = copyOf(message);
  const parts: MessagePart[] = [];
  for (const name of shape.texts) {
    const text = message[name] as string;
    if (text.length < LONG) continue;
    rest[name] = '';
    const large = plainText(text);
    parts.push(prefix(shape.numbers.get(name) as number, large.length), large);
  }
  for (const { name, shape: inner, isList } of shape.messages) {
    rest[name] = isList ? [] : undefined;
    for (const one of messagesOf(message[name])) {
      const innerParts = binaryParts(inner, one);
      const length = innerParts.reduce((sum, part) => sum + part.length, 0);
      parts.push(prefix(shape.numbers.get(name) as number, length), ...innerParts);
    }
  }
  return [Buffer.from(toBinary(shape.type, rest as unknown as Message)), ...parts];
}

/** A copy with a short text in place of each long one. */
function slimOf(shape: Shape, message: Fields, shorten: (text: string) => string): Fields {
  const slim = copyOf(message);
  for (const name of shape.texts) {
    const text = message[name] as string;
    if (text.length >= LONG) slim[name] = shorten(text);
  }
  for (const { name, shape: inner, isList } of shape.messages) {
    const slimmed = messagesOf(message[name]).map(one => slimOf(inner, one, shorten));
    slim[name] = isList ? slimmed : slimmed[0];
  }
  return slim;
}

function jsonInQuotes(text: string): MessagePart[] {
  return [QUOTE, escapedText(text), QUOTE];
}

/** The tag of a length-delimited field, and its length. */
function prefix(number: number, length: number): Buffer {
  return Buffer.from([...varint(number * 8 + LENGTH_DELIMITED), ...varint(length)]);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) + 0x80, ...varint(Math.floor(value / 0x80))];
}

function messagesOf(value: unknown): readonly Fields[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value as Fields];
}

function copyOf(message: Fields): Record<string, unknown> {
  return Object.assign(Object.create(Object.getPrototypeOf(message)), message);
}

function shapeOf(type: DescMessage, known: Map<DescMessage, Shape>): Shape {
  const found = known.get(type);
  if (found !== undefined) return found;
  const texts: string[] = [];
  const messages: { name: string; shape: Shape; isList: boolean }[] = [];
  const shape: Shape = {
    type,
    texts,
    messages,
    numbers: new Map(type.fields.map(field => [field.localName, field.number])),
  };
  known.set(type, shape);
  for (const field of type.fields) {
    const { localName: name, oneof, fieldKind, message } = field;
    if (oneof !== undefined) continue;
    const isText = fieldKind === 'scalar' && field.scalar === ScalarType.STRING && field.presence === Presence.IMPLICIT;
    if (isText) texts.push(name);
    if (message === undefined || fieldKind === 'map' || message.typeName.startsWith('google.protobuf.')) continue;
    messages.push({ name, shape: shapeOf(message, known), isList: fieldKind === 'list' });
  }
  return shape;
}

/** The positions of texts in messages of a type. */
interface Shape {
  readonly type: DescMessage;
  readonly texts: readonly string[];
  readonly messages: readonly { readonly name: string; readonly shape: Shape; readonly isList: boolean }[];
  readonly numbers: ReadonlyMap<string, number>;
}

/** A message, by the names of its fields. */
type Fields = Readonly<Record<string, unknown>>;

/** In UTF-16 code units. */
const LONG = 1024;
/** Random, so no client's text contains it. */
const MARK = `${randomUUID()} `;
const MARKED = new RegExp(`"${MARK}(\\d+)"`);
const QUOTE = Buffer.from('"');
const LENGTH_DELIMITED = 2;
