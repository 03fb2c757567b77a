import type { Writable } from 'node:stream';
import pg from 'pg';
import { serialize } from 'pg-protocol';
import { COLUMN_TYPES } from '#src/db/column-types.ts';

/** A statement with a unique name, which each connection prepares once. */
export interface NamedStatement {
  readonly name: string;
  readonly text: string;
}

/** The row description of a prepared statement. Its columns do not change while it is prepared. */
export interface RowShape {
  readonly names: readonly string[];
  readonly parsers: readonly ((text: string) => unknown)[];
}

/** A value in its wire form. */
export type Parameter = string | Buffer | null;

/**
 * The text or bytes of a value, as pg makes them for the pool's statements.
 *
 * Call it before a statement is sent. If a value throws inside pg, pg closes the prepared statement in Postgres, but does not forget it.
 * Every later use of the name on that connection would fail.
 *
 * @throws for a value without such a form, such as an object with a cycle.
 */
export function toParameter(value: unknown): Parameter {
  return typeof value === 'string' ? value : prepareValue(value);
}

/**
 * One statement on a connection that remembers its prepared statements, in a pipeline or alone.
 *
 * pg asks Postgres for the description of the columns each time, and parses it each time, which takes a third of the CPU of a read by key.
 * Here a prepared statement is described once a connection. If a migration changes the type of a column, Postgres refuses the prepared
 * statement (`cached plan must not change result type`).
 *
 * It overrides methods of pg.Query in pg 8.23.1, because pg refuses other kinds of query in a pipeline.
 */
export class PreparedQuery extends (pg.Query as unknown as DriverQueryClass) {
  readonly #shapes: Map<string, RowShape>;
  readonly #onEnd: (error: unknown, rows: readonly Row[]) => void;
  readonly #rows: Row[] = [];
  #shape: RowShape | undefined;
  #error: unknown;

  /**
   * @param statement without a name, it is parsed and described each time.
   * @param shapes of the connection's prepared statements, by name.
   * @param onEnd called once, with an error or with all rows.
   */
  constructor(
    statement: NamedStatement,
    parameters: readonly Parameter[],
    shapes: Map<string, RowShape>,
    onEnd: (error: unknown, rows: readonly Row[]) => void,
  ) {
    super({ name: statement.name, text: statement.text, values: parameters, queryMode: 'extended' });
    this.#shapes = shapes;
    this.#onEnd = onEnd;
  }

  override prepare(connection: DriverConnection): void {
    this.#shape = this.#shapes.get(this.name);
    if (this.#shape === undefined) {
      super.prepare(connection);
      return;
    }
    const bind = serialize.bind({
      portal: '',
      statement: this.name,
      values: [...this.values],
      binary: false,
      valueMapper: asItIs,
    });
    connection.stream.write(Buffer.concat([bind, EXECUTE_AND_SYNC]));
  }

  override handleRowDescription({ fields }: RowDescription): void {
    this.#shape = {
      names: fields.map(field => field.name),
      parsers: fields.map(field => COLUMN_TYPES.getTypeParser(field.dataTypeID, 'text')),
    };
    if (this.name) this.#shapes.set(this.name, this.#shape);
  }

  override handleDataRow({ fields }: DataRow): void {
    if (this.#error !== undefined) return;
    try {
      this.#rows.push(readRow(this.#shape, fields));
    } catch (error) {
      this.#error = error;
    }
  }

  override handleCommandComplete(): void {}

  override handleReadyForQuery(): void {
    this.#onEnd(this.#error, this.#rows);
  }

  override handleError(error: unknown): void {
    this.#onEnd(error, []);
  }
}

type Row = Record<string, unknown>;

function readRow(shape: RowShape | undefined, fields: readonly (string | null)[]): Row {
  if (shape === undefined) throw new Error('Postgres sent a row without having described it');
  const row: Row = {};
  for (let i = 0; i < fields.length; i++) {
    const text = fields[i] as string | null;
    row[shape.names[i] as string] = text === null ? null : shape.parsers[i]?.(text);
  }
  return row;
}

/** One chunk is one `write`. Three would be a `writev`, which costs more. */
const EXECUTE_AND_SYNC = Buffer.concat([serialize.execute(), serialize.sync()]);

function asItIs<T>(value: T): T {
  return value;
}

const { prepareValue } = (pg as unknown as { utils: { prepareValue(value: unknown): Parameter } }).utils;

/** Missing in pg's types. */
interface DriverQuery {
  readonly name: string;
  readonly values: readonly Parameter[];
  prepare(connection: DriverConnection): void;
  handleRowDescription(message: RowDescription): void;
  handleDataRow(message: DataRow): void;
  handleCommandComplete(): void;
  handleReadyForQuery(): void;
  handleError(error: unknown): void;
}

type DriverQueryClass = new (
  config: NamedStatement & { readonly values: readonly Parameter[]; readonly queryMode: 'extended' },
) => DriverQuery & pg.Submittable;

interface DriverConnection {
  readonly stream: Writable;
}

interface RowDescription {
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[];
}

interface DataRow {
  readonly fields: readonly (string | null)[];
}
