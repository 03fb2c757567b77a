/** Calls one server over connections of its own, as fast as it answers. */
export interface Load {
  /** Complete answers until now. */
  readonly answered: number;
  /** Opens the connections. */
  connect(): Promise<void>;
  /** Begins to call, as many calls at once as there are places. */
  start(): void;
  /**
   * Resolves when the calls that run are answered, and no others made.
   *
   * @throws what went wrong since `start`: an answer that is not like the first one, or a connection that was lost.
   */
  stop(): Promise<void>;
  /** Closes the connections; they can be opened again. */
  close(): void;
}

/** How many calls a load has open at once, over all of its connections. */
export const CALLS_AT_ONCE = 16;
