import type { TrustedProxies } from '#src/http/clients/trusted-proxies.ts';
import { canonicalAddress } from '#src/http/clients/trusted-proxies.ts';

/** The field in which proxies name their clients. */
export type ForwardedField = 'x-forwarded-for' | 'forwarded';

/**
 * Finds the client of a request from a trusted proxy. Each proxy appends the address from which it got the request. So the list is read
 * from its end, as long as a trusted proxy wrote the entry. The client may have invented the rest.
 *
 * A proxy that names no address, or `unknown`, or an obfuscated identifier (RFC 7239, 6), counts as the client.
 *
 * @param isTrusted whether an address is that of a trusted proxy.
 * @param field the only field that counts. Unset: X-Forwarded-For, which nearly all proxies set, or Forwarded if a request has no
 *   X-Forwarded-For.
 * @returns a function from the peer's address and the request's fields (names and values alternate) to the client's address.
 */
export function createForwardedClient(
  isTrusted: TrustedProxies,
  field?: ForwardedField,
): (peer: string, fields: readonly string[]) => string {
  return (peer, fields) => {
    let address = peer;
    for (const node of nodesFromEnd(fields, field)) {
      const next = node === undefined ? undefined : addressOf(node);
      if (next === undefined) return address;
      address = next;
      if (!isTrusted(address)) return address;
    }
    return address;
  };
}

function nodesFromEnd(fields: readonly string[], field: ForwardedField | undefined): Iterable<string | undefined> {
  if (field !== 'forwarded') {
    const lines = linesOf(fields, 'x-forwarded-for');
    if (field !== undefined || lines.length > 0) return xForwardedForFromEnd(lines);
  }
  return forwardedFromEnd(linesOf(fields, 'forwarded'));
}

/** The last line first. Together the lines are one list (RFC 9110, 5.3). */
function linesOf(fields: readonly string[], name: ForwardedField): string[] {
  const lines: string[] = [];
  for (let i = fields.length - 2; i >= 0; i -= 2) {
    const given = fields[i] as string;
    if (given.length === name.length && given.toLowerCase() === name) lines.push(fields[i + 1] as string);
  }
  return lines;
}

function* xForwardedForFromEnd(lines: readonly string[]): Generator<string> {
  for (const line of lines) {
    let end = line.length;
    while (end >= 0) {
      const comma = line.slice(0, end).lastIndexOf(',');
      const item = line.slice(comma + 1, end).trim();
      if (item !== '') yield item;
      end = comma;
    }
  }
}

/** The `for` of each element (RFC 7239, 4); undefined for an element without it, or a malformed one. */
function* forwardedFromEnd(lines: readonly string[]): Generator<string | undefined> {
  for (const line of lines) {
    let end = line.length;
    let isQuoted = false;
    // Also from the end within a line: an unpaired quotation mark of the client must not reach what a proxy has added.
    for (let i = line.length - 1; i >= -1; i--) {
      const char = line[i];
      if (char === '"' && !isEscaped(line, i)) isQuoted = !isQuoted;
      if (i >= 0 && (isQuoted || char !== ',')) continue;
      const element = line.slice(i + 1, end).trim();
      if (element !== '') yield forOf(element);
      end = i;
    }
  }
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text[at - 1 - backslashes] === '\\') backslashes++;
  return backslashes % 2 === 1;
}

function forOf(element: string): string | undefined {
  let node: string | undefined;
  let at = 0;
  while (at < element.length) {
    PAIR.lastIndex = at;
    const [pair, name = '', value = ''] = PAIR.exec(element) ?? [];
    if (pair === undefined) return undefined;
    at += pair.length;
    if (name.toLowerCase() !== 'for') continue;
    // RFC 7239, 4: each parameter at most once.
    if (node !== undefined) return undefined;
    node = value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value;
  }
  return node;
}

/** An address, possibly in brackets or with a port; undefined for everything else, such as `unknown`. */
function addressOf(node: string): string | undefined {
  const [, bracketed, withPort] = /^\[([^\]]*)\](?::.*)?$|^(\d+\.[\d.]+):.*$/.exec(node) ?? [];
  return canonicalAddress(bracketed ?? withPort ?? node);
}

/** A token, `=`, and a token or a quoted string (RFC 9110, 5.6). IPv6 without quotation marks is common, and accepted. */
const PAIR = /[ \t]*([!#$%&'*+.^_`|~\w-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)[ \t]*(?:;|$)/y;
