import type { Figure } from './figures.ts';
import type { CallRecord } from './ledger.ts';

/** One row of the table of faults, to be run. */
export interface FaultRow {
  readonly id: string;
  readonly fault: string;
  readonly run: (length: RunLength) => Promise<RowResult>;
}

/** How long a load lasts, and when the fault comes and goes, in seconds. */
export interface RunLength {
  readonly total: number;
  readonly faultAt: number;
  readonly faultFor: number;
}

export interface RowResult {
  readonly figures: readonly Figure[];
  /** What is drawn: the calls over time, by name of who served them. */
  readonly series?: Readonly<Record<string, readonly CallRecord[]>>;
}
