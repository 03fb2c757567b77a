import type { IncomingHttpHeaders } from 'node:http';
import { type ConnectError, type ContextValues, createContextValues, type HandlerContext } from '@connectrpc/connect';
import type { UnaryMethod } from '#src/rpc/unary/codec/unary-method.ts';
import type { UnarySettings } from '#src/rpc/unary/protocol/unary-settings.ts';
import type { CallRecord } from '#src/wire/call-record.ts';
import type { HttpExchange } from '#src/wire/http-exchange.ts';
import type { RequestHead } from '#src/wire/request-head.ts';

/** The context of a unary call's handler. Rarely used parts (signal, headers) are made on demand. */
export abstract class CallContext implements HandlerContext {
  abstract readonly protocolName: string;
  protected readonly init: UnaryCallInit;
  #abortReason: ConnectError | undefined;
  #controller: AbortController | undefined;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;

  constructor(init: UnaryCallInit) {
    this.init = init;
  }

  get service() {
    return this.init.method.method.parent;
  }

  get method() {
    return this.init.method.method;
  }

  get requestMethod(): string {
    return this.init.head.method;
  }

  get url(): string {
    return this.init.httpExchange.url;
  }

  /** Aborted at the deadline, when the client is gone, and at shutdown, but not when the call succeeds. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  /** A bound function, because handlers take it off the context. */
  get timeoutMs(): () => number | undefined {
    return () => {
      const { timeoutMs } = this.init;
      return timeoutMs === undefined
        ? undefined
        : Math.trunc(timeoutMs - (performance.now() - this.init.record.startedAt));
    };
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= toHeaders(this.init.httpExchange.headers);
    return this.#requestHeader;
  }

  /** One header field of the request, by its name in lower case, without making Headers of all. */
  get requestField(): (name: string) => string | undefined {
    return name => {
      const { fields } = this.init.httpExchange;
      for (let i = 0; i < fields.length; i += 2) {
        const field = fields[i] as string;
        if (field.length === name.length && field.toLowerCase() === name)
          return this.requestHeader.get(name) ?? undefined;
      }
      return undefined;
    };
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  get values(): ContextValues {
    this.#values ??= createContextValues();
    return this.#values;
  }

  /** The reason of the abort; undefined: none. */
  protected get abortReason(): ConnectError | undefined {
    return this.#abortReason;
  }

  protected abortSignal(reason: ConnectError): void {
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }

  /** Whether the handler has used the response's header or trailer. Only then can they have fields. */
  protected get hasResponseHeader(): boolean {
    return this.#responseHeader !== undefined;
  }

  protected get hasResponseTrailer(): boolean {
    return this.#responseTrailer !== undefined;
  }
}

/** The parts of a call. */
export interface UnaryCallInit {
  readonly method: UnaryMethod;
  readonly settings: UnarySettings;
  readonly httpExchange: HttpExchange;
  readonly head: RequestHead;
  readonly record: CallRecord;
  /** Undefined: no deadline. */
  readonly timeoutMs: number | undefined;
  /** Names in lower case and values, in turn, of every response to the call. Fields are added to it. */
  readonly fields: string[];
}

function toHeaders(fields: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value = []] of Object.entries(fields)) {
    if (name.charCodeAt(0) === COLON) continue;
    for (const one of [value].flat()) headers.append(name, one);
  }
  return headers;
}

/** The first character of HTTP/2's pseudo fields. */
const COLON = 0x3a;
