/** The runner's output, put together: how many cases there were of each protocol, and how many failed. */
export interface Summary {
  readonly protocols: ReadonlyMap<string, { cases: number; failed: number }>;
  /** The names of the cases that failed. */
  readonly failed: readonly string[];
}

/** @param lines what the runner printed with `--verbose`. */
export function summarize(lines: readonly string[]): Summary {
  const protocols = new Map<string, { cases: number; failed: number }>();
  const failed: string[] = [];
  const count = (protocol: string, what: 'cases' | 'failed', more: number) => {
    const row = protocols.get(protocol) ?? { cases: 0, failed: 0 };
    row[what] += more;
    protocols.set(protocol, row);
  };
  for (const line of lines) {
    const batch = BATCH.exec(line);
    if (batch !== null) count(protocolOf(line), 'cases', Number(batch[1]));
    const failure = FAILURE.exec(line);
    if (failure === null) continue;
    failed.push(failure[1] ?? '');
    count(protocolOf(line), 'failed', 1);
  }
  return { protocols, failed };
}

/** The table for a person. */
export function formatSummary({ protocols }: Summary): string {
  const rows = [...protocols].sort(([a], [b]) => a.localeCompare(b));
  const lines = rows.map(
    ([protocol, { cases, failed }]) =>
      `${protocol.padEnd(10)}${String(cases).padStart(6)}${String(cases - failed).padStart(8)}${String(failed).padStart(8)}`,
  );
  return ['protocol   cases  passed  failed', ...lines].join('\n');
}

/** `Running 496 tests with reference client for server config {HTTP_VERSION_1, PROTOCOL_CONNECT, TLS:false}...` */
const BATCH = /^Running (\d+) tests /;
/** `FAILED: Basic/HTTPVersion:1/Protocol:PROTOCOL_CONNECT/…/unary/success:`, or with `was expected to fail but did not`. */
const FAILURE = /^FAILED: (.*?)(?::| was expected to fail but did not)$/;

/** A suite for one protocol has it in its own name only, and the one for all codes of HTTP is of Connect. */
function protocolOf(line: string): string {
  if (/PROTOCOL_GRPC_WEB|: gRPC-Web/.test(line)) return 'gRPC-Web';
  return /PROTOCOL_GRPC|: gRPC/.test(line) ? 'gRPC' : 'Connect';
}
