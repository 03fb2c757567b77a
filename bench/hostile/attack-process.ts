/** `node attack-process.ts ATTACK URL ADDRESS`: attacks until its standard input ends, tells in a line that it begins, and in one of JSON what became of it. */

import { once } from 'node:events';
import { FLOODS, flood } from './http2-floods.ts';
import { HALVES, holdSlowly } from './slow-connections.ts';

const [attack = '', url = '', address = ''] = process.argv.slice(2);
const port = Number(new URL(url).port);
const over = new AbortController();
process.stdin.resume();
void once(process.stdin, 'end').then(() => over.abort());

console.log('begins');
const half = HALVES[attack];
const piece = FLOODS[attack];
if (half !== undefined) console.log(JSON.stringify(await holdSlowly(port, address, half)));
else if (piece !== undefined) console.log(JSON.stringify(await flood(port, address, piece, over.signal)));
else throw new Error(`there is no attack ${attack}`);
process.exit();
