import { execFile, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { compileContract } from '#test/support/every-rpc.ts';

/** Bytes that may be a message. */
export interface DecodingInput {
  /** Such as `blog.v1.CreatePostRequest`. */
  readonly type: string;
  readonly json: boolean;
  /** In base64. */
  readonly bytes: string;
}

/** What protobuf-go makes of an input: the message in the binary format and in base64; undefined: it refuses it. */
export interface Verdict {
  readonly message?: string;
  /** It gave no verdict. */
  readonly panicked?: boolean;
}

/** Asks protobuf-go. */
export type AskProtobufGo = (inputs: readonly DecodingInput[]) => Promise<Verdict[]>;

/**
 * Builds the program that asks protobuf-go, with the Go that is installed.
 *
 * @returns how to ask it; or, in words, why it can't be asked.
 */
export async function buildProtobufGo(): Promise<AskProtobufGo | string> {
  const program = join(FOLDER, process.platform === 'win32' ? 'verdicts.exe' : 'verdicts');
  const contract = join(FOLDER, 'contract.binpb');
  mkdirSync(FOLDER, { recursive: true });
  try {
    // biome-ignore lint/style/noProcessEnv: Go's own settings, such as GOPROXY, are the machine's.
    await promisify(execFile)('go', ['build', '-o', program, '.'], { cwd: SOURCE, env: { ...process.env } });
  } catch (error) {
    const { code, stderr, message } = error as { code?: unknown; stderr?: string; message: string };
    return code === 'ENOENT' ? 'Go is not installed' : `Go can't build it: ${stderr?.trim() || message}`;
  }
  await compileContract(contract);
  return async inputs => {
    const child = spawn(program, [contract], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end(inputs.map(input => `${JSON.stringify(input)}\n`).join(''));
    const lines = (await text(child.stdout)).trimEnd().split('\n');
    if (lines.length !== inputs.length) throw new Error(`${inputs.length} inputs, and ${lines.length} verdicts`);
    return lines.map(line => JSON.parse(line) as Verdict);
  };
}

const SOURCE = join(import.meta.dirname, '../fixtures/protobuf-go');
/** A place that `npm ci` empties and Git does not see. */
const FOLDER = join(import.meta.dirname, '../../node_modules/.cache/protobuf-go');
