import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DescMessage, equals, fromBinary, type Message } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeBinary, decodeJson, MalformedMessageError } from '#client/strict-messages.ts';
import { DECODED_TYPES, decodingInputs } from '#test/support/decoding-inputs.ts';
import { type AskProtobufGo, buildProtobufGo, type DecodingInput, type Verdict } from '#test/support/protobuf-go.ts';

/**
 * Where the service is meant to differ from protobuf-go, with the reason. These are all.
 *
 * @param text the input, if it is JSON.
 * @param refusal why the service refuses it; undefined: it does not.
 * @param hasMark whether it began with a byte order mark, which `text` has not.
 */
const WANTED_DIFFERENCES: readonly {
  readonly reason: string;
  readonly applies: (text: string, refusal: string | undefined, hasMark: boolean) => boolean;
}[] = [
  {
    reason:
      'a member that comes twice is refused also where it is unknown: parsers differ about which one counts (RFC 8259, 4)',
    applies: (_text, refusal) => / twice$/.test(refusal ?? ''),
  },
  {
    reason: 'RFC 3339 has two digits for the hour, a point before decimals, and offsets below 24:00',
    applies: (text, refusal) =>
      (/RFC 3339/.test(refusal ?? '') && /T\d:|:\d\d,\d/.test(text)) || /offset/.test(refusal ?? ''),
  },
  {
    reason: 'a mask has no spaces around it',
    applies: (text, refusal) => /lower camel case/.test(refusal ?? '') && hasSpacesAround(text),
  },
  {
    reason: 'an exponent has digits (RFC 8259, 6)',
    applies: (text, refusal) => /must be JSON/.test(refusal ?? '') && /\d[eE][-+]?[^-+\d]/.test(text),
  },
  {
    reason: '* stands for all fields of a mask (AIP-134)',
    applies: (text, refusal) => refusal === undefined && text.includes('"*"'),
  },
  {
    reason: 'a byte order mark may be ignored (RFC 8259, 8.1), and some clients write one',
    applies: (_text, refusal, hasMark) => refusal === undefined && hasMark,
  },
];

describe('decodeBinary and decodeJson', () => {
  it('take and refuse what protobuf-go does, and read the same message: a recorded corpus', () => {
    const file = join(import.meta.dirname, '../fixtures/protobuf-go/corpus.json');
    const corpus = JSON.parse(readFileSync(file, 'utf8')) as (DecodingInput & Verdict)[];
    expect(corpus.length).toBeGreaterThan(1000);
    expect(corpus.flatMap(input => difference(input, input))).toEqual([]);
  });

  describe('beside protobuf-go itself', () => {
    let go: AskProtobufGo | string;
    beforeAll(async () => {
      go = await buildProtobufGo();
    }, 300_000);

    it('do the same with what was never tried before', async context => {
      if (typeof go === 'string') return context.skip(go);
      const seed = Math.floor(Math.random() * 2 ** 31);
      const inputs = decodingInputs(seed, INPUTS);
      const verdicts = await go(inputs);
      const differences = inputs.flatMap((input, n) => difference(input, verdicts[n] as Verdict));
      expect({ seed, differences: differences.slice(0, 10) }).toEqual({ seed, differences: [] });
      // Otherwise nothing has been compared.
      const taken = verdicts.filter(({ message }) => message !== undefined).length;
      expect(Math.min(taken, INPUTS - taken)).toBeGreaterThan(INPUTS / 10);
    });
  });
});

/** Whether the mask of an UpdatePostRequest has. */
function hasSpacesAround(json: string): boolean {
  const { updateMask, update_mask: mask = updateMask } = JSON.parse(json);
  return typeof mask === 'string' && mask !== mask.trim();
}

// biome-ignore lint/style/noProcessEnv: how long to look is said by who looks.
const INPUTS = Number(process.env.DECODING_INPUTS ?? 20_000);

/** What the two make of an input, where it is not the same and not meant to be; else nothing. */
function difference(input: DecodingInput, { message: theirs, panicked }: Verdict): object[] {
  if (panicked) return [];
  const schema = DECODED_TYPES.find(({ typeName }) => typeName === input.type) as DescMessage;
  const bytes = Buffer.from(input.bytes, 'base64');
  const { refusal, message: ours } = decode(schema, bytes, input.json);
  const given = input.json ? bytes.toString() : '';
  const text = given.replace(/^\ufeff/, '');
  if (WANTED_DIFFERENCES.some(({ applies }) => applies(text, refusal, text !== given))) return [];
  const expected = theirs === undefined ? undefined : fromBinary(schema, Buffer.from(theirs, 'base64'));
  const isSame = ours === undefined ? expected === undefined : expected && equals(schema, ours, expected);
  if (isSame) return [];
  return [
    { type: input.type, input: input.json ? text : bytes.toString('hex'), ours: refusal ?? ours, protobufGo: expected },
  ];
}

function decode(schema: DescMessage, bytes: Uint8Array, json: boolean): { message?: Message; refusal?: string } {
  try {
    return { message: json ? decodeJson(schema, bytes) : decodeBinary(schema, bytes) };
  } catch (error) {
    if (!(error instanceof MalformedMessageError)) throw error;
    return { refusal: error.message };
  }
}
