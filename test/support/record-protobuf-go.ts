import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodingInputs } from '#test/support/decoding-inputs.ts';
import { buildProtobufGo } from '#test/support/protobuf-go.ts';

// Records what protobuf-go makes of inputs, for where there is no Go. README.md of the fixtures says how to run it.
const inputs = decodingInputs(Number(process.argv[2] ?? 1), 3000);
const go = await buildProtobufGo();
if (typeof go === 'string') throw new Error(go);
const verdicts = await go(inputs);
// Its errors are worded differently from run to run, on purpose.
const lines = inputs.map((input, n) =>
  JSON.stringify({ ...input, message: verdicts[n]?.message, panicked: verdicts[n]?.panicked }),
);
const file = join(import.meta.dirname, '../fixtures/protobuf-go/corpus.json');
writeFileSync(file, `[\n${lines.join(',\n')}\n]\n`);
console.log(`${lines.length} inputs and verdicts are in ${file}`);
