import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

/** What ours answers to one workload: what the raw servers repeat, so that they send the same heads and bytes. */
export interface RecordedAnswer {
  /** What tells the request from others. */
  readonly method: string;
  readonly contentType: string | undefined;
  /** Without those that belong to one call or one connection: date, request id, keep-alive. */
  readonly head: Readonly<Record<string, string>>;
  /** Base64. */
  readonly body: string;
  readonly trailers: Readonly<Record<string, string>>;
}

/** Reads the file that `--answers` of the command line names. */
export function readRecordedAnswers(): { answers: readonly RecordedAnswer[]; oneWrite: boolean } {
  const { values } = parseArgs({
    options: { answers: { type: 'string', default: '' }, 'one-write': { type: 'boolean', default: false } },
  });
  return { answers: JSON.parse(readFileSync(values.answers, 'utf8')), oneWrite: values['one-write'] };
}

/** The workload of a request, by what tells it from others. */
export function requestKey(method: string | undefined, contentType: string | undefined): string {
  return `${method} ${contentType ?? ''}`;
}
